"""The fit sample: the masks that a fit uses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from samseg.types import Float32, Int32, Int64


@dataclass(frozen=True, slots=True, eq=False)
class FitSample:
    """n masks, as a struct of arrays.

    Attributes:
        mask_ids: n ids.
        image_ids: n ids of their images.
        embeddings: (n, d) float32, raw.
        parent_class_ids: (n,) int32, the class of each mask under the parent codebook, or -1.
    """

    mask_ids: Sequence[str]
    image_ids: Sequence[str]
    embeddings: Float32
    parent_class_ids: Int32

    def __len__(self) -> int:
        return len(self.mask_ids)

    def take(self, rows: Int64) -> "FitSample":
        """Return the masks at `rows`, (m,) int64."""
        return FitSample(
            [self.mask_ids[int(row)] for row in rows],
            [self.image_ids[int(row)] for row in rows],
            self.embeddings[rows],
            self.parent_class_ids[rows],
        )

    def followed_by(self, other: "FitSample") -> "FitSample":
        """Return the masks of both."""
        return FitSample(
            [*self.mask_ids, *other.mask_ids],
            [*self.image_ids, *other.image_ids],
            np.concatenate([self.embeddings, other.embeddings]),
            np.concatenate([self.parent_class_ids, other.parent_class_ids]),
        )
