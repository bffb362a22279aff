"""What people chose for one class by example, over all edits: of one mask, the last word counts."""

from collections.abc import Iterable
from dataclasses import dataclass

from samseg.edits.edit import Edit, Example, ExampleMask, Refine


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
