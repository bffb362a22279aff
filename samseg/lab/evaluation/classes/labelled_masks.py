"""Masks with their true categories, from true segments or matched with them.

An automatic mask takes the category of the true segment that covers most of it, if that is more
than half of the mask: so a part of an object has the object's category, and a mask that spans
several objects has none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from samseg.lab.evaluation.classes.truth import Rle, TrueSegments
from samseg.types import Bool, Int64, image_id_of, mask_id_of

UNMATCHED, RARE = -1, -2
"""Codes of masks without a true segment, and of those whose category is left out."""

_MAJORITY = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class PhotoMasks:
    """n masks of one photo.

    Attributes:
        mask_ids: n ids.
        rles: n COCO compressed RLEs.
        codes: (n,) int64, positions in the list of categories, or `UNMATCHED` or `RARE`.
    """

    mask_ids: tuple[str, ...]
    rles: tuple[Rle, ...]
    codes: Int64

    @classmethod
    def of_truth(
        cls, photo: str, truth: TrueSegments, rows: Int64, categories: Sequence[str]
    ) -> "PhotoMasks":
        """Take the true segments at `rows` whose category is in `categories`."""
        codes = codes_of(truth, categories)[rows]
        rows, codes = rows[codes >= 0], codes[codes >= 0]
        image_id = image_id_of(photo)
        mask_ids = tuple(mask_id_of(image_id, int(row)) for row in rows)
        return cls(mask_ids, tuple(truth.rles[row] for row in rows), codes)

    @classmethod
    def matched(
        cls,
        mask_ids: Sequence[str],
        rles: Sequence[Rle],
        truth: TrueSegments,
        categories: Sequence[str],
    ) -> "PhotoMasks":
        """Match masks with true segments; see the module's docstring."""
        from pycocotools import mask as coco

        codes = np.full(len(rles), UNMATCHED, np.int64)
        if len(rles) and len(truth):
            # as crowds: intersection over the area of the mask instead of the union
            covered = np.asarray(coco.iou(list(rles), list(truth.rles), [1] * len(truth)))
            found = codes_of(truth, categories)[covered.argmax(axis=1)]
            codes = np.where(covered.max(axis=1) > _MAJORITY, found, UNMATCHED)
        return cls(tuple(mask_ids), tuple(rles), codes)


@dataclass(frozen=True, eq=False)
class LabelledMasks:
    """n masks of several photos.

    Attributes:
        mask_ids: n ids.
        photos: (n,) the photo of each mask.
        rles: n COCO compressed RLEs.
        codes: (n,) int64; see `PhotoMasks`.
        categories: names of the categories.
        truth: true segments of every photo, those without masks included.
    """

    mask_ids: tuple[str, ...]
    photos: np.ndarray
    rles: tuple[Rle, ...]
    codes: Int64
    categories: tuple[str, ...]
    truth: Mapping[str, TrueSegments]

    @classmethod
    def join(
        cls,
        parts: Mapping[str, PhotoMasks],
        categories: tuple[str, ...],
        truth: Mapping[str, TrueSegments],
    ) -> "LabelledMasks":
        """Concatenate the masks of photos."""
        return cls(
            tuple(i for part in parts.values() for i in part.mask_ids),
            np.array([photo for photo, part in parts.items() for _ in part.mask_ids], str),
            tuple(rle for part in parts.values() for rle in part.rles),
            np.concatenate([np.zeros(0, np.int64), *(part.codes for part in parts.values())]),
            categories,
            truth,
        )

    def __len__(self) -> int:
        return len(self.mask_ids)

    def take(self, rows: Int64) -> "LabelledMasks":
        """Return the masks at `rows`, (m,) int64."""
        return replace(
            self,
            mask_ids=tuple(self.mask_ids[row] for row in rows),
            photos=self.photos[rows],
            rles=tuple(self.rles[row] for row in rows),
            codes=self.codes[rows],
        )

    @cached_property
    def known(self) -> Bool:
        """(n,) bool, the masks that have a category."""
        return self.codes >= 0

    @cached_property
    def rows_of(self) -> dict[str, Int64]:
        """The rows of each photo with masks, in the order of the photos' names."""
        names, group = np.unique(self.photos, return_inverse=True)
        order = np.argsort(group, kind="stable")
        ends = np.searchsorted(group[order], np.arange(len(names) + 1))
        return {str(n): order[ends[i] : ends[i + 1]] for i, n in enumerate(names)}


def codes_of(truth: TrueSegments, categories: Sequence[str]) -> Int64:
    """Return the position of each segment's category in `categories`, or `RARE`, (n,) int64."""
    number = {name: i for i, name in enumerate(categories)}
    return np.array([number.get(name, RARE) for name in truth.categories], np.int64)
