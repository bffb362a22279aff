"""What people chose for a class by example, over all edits; the latest choice counts."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from samseg.edits.edit import Edit, Example, ExampleMask, Refine
from samseg.types import Float32


@dataclass(frozen=True, slots=True)
class Evidence:
    """The masks of one class by example.

    Attributes:
        edit: number of the last edit that chose masks for it.
        accepted: masks of the class, in the order in which they were chosen.
        rejected: masks that are not of it.
    """

    edit: int
    accepted: tuple[ExampleMask, ...]
    rejected: tuple[ExampleMask, ...]

    @property
    def vectors(self) -> tuple[Float32, Float32]:
        """The raw vectors of the accepted and of the rejected masks, (_, d) float32 each."""
        accepted, rejected = (
            np.array([mask.vector for mask in masks if mask.vector], np.float32)
            for masks in (self.accepted, self.rejected)
        )
        return accepted, rejected

    @classmethod
    def of(cls, edits: Iterable[Edit], embedding: str) -> "Evidence":
        """Gather the masks of edits that chose them.

        Args:
            edits: the creation of a class and its refinements, in order.
            embedding: vectors of others are left out.
        """
        newest = 0
        verdicts: dict[object, tuple[ExampleMask, bool]] = {}
        for edit in edits:
            newest, action = edit.number, edit.action
            if not isinstance(action, Example | Refine):
                continue
            for masks, accepted in ((action.accepted, True), (action.rejected, False)):
                for mask in masks:
                    known = mask if action.embedding == embedding else _without_vector(mask)
                    key = mask.mask_id or mask.vector  # of a photo elsewhere there is no id
                    verdicts.pop(key, None)
                    verdicts[key] = known, accepted
        return cls(
            newest,
            tuple(mask for mask, accepted in verdicts.values() if accepted),
            tuple(mask for mask, accepted in verdicts.values() if not accepted),
        )


def _without_vector(mask: ExampleMask) -> ExampleMask:
    return mask.model_copy(update={"vector": ()})
