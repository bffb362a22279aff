"""AutomaticScores masks against the true segments of a photo.

A segment is found when some mask has that IoU with it; a mask is right when some segment has.
There is no one-to-one matching: automatic masks nest (part, object, whole), and so do the segments
of several annotators.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.lab.evaluation.truth import SMALLEST
from samseg.lab.labelled import LabelledPhoto
from samseg.spec import Spec
from samseg.types import Bool, Masks


class AutomaticScores(Spec):
    """AutomaticScores masks of some photos.

    Attributes:
        photos: how many.
        segments: true segments over 0.2 % of their photo.
        recall_50: fraction of them that are found at IoU 0.5; None where there are none.
        recall_75: the same at IoU 0.75.
        precision_50: fraction of the masks that match a true segment of any size at IoU 0.5; None
            where there are no masks.
        masks_per_photo: mean number of masks.
    """

    photos: int
    segments: int
    recall_50: float | None
    recall_75: float | None
    precision_50: float | None
    masks_per_photo: float

    @classmethod
    def of(cls, photos: Sequence["Hits"]) -> "AutomaticScores | None":
        """Pool photos, every segment and every mask counting once; None without photos."""
        if not photos:
            return None
        best = np.concatenate([p.of_segments for p in photos])
        masks = np.concatenate([p.of_masks for p in photos])
        return cls(
            photos=len(photos),
            segments=len(best),
            recall_50=float((best >= 0.5).mean()) if len(best) else None,
            recall_75=float((best >= 0.75).mean()) if len(best) else None,
            precision_50=float((masks >= 0.5).mean()) if len(masks) else None,
            masks_per_photo=len(masks) / len(photos),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """One photo.

    Attributes:
        of_segments: (s,) float64, highest IoU of any mask, of each segment over 0.2 %.
        of_masks: (m,) float64, highest IoU of any segment, of each mask.
    """

    of_segments: NDArray[np.float64]
    of_masks: NDArray[np.float64]

    @classmethod
    def of(cls, masks: Masks, photo: LabelledPhoto) -> "Hits":
        """Compare all masks of a photo with all its segments."""
        from pycocotools import mask as coco

        segments = photo.segments()
        large = np.isin(segments, photo.segments(SMALLEST))
        if not len(masks) or not segments:
            return cls(np.zeros(large.sum()), np.zeros(len(masks)))
        wanted = [_rle(photo.mask(i)) for i in segments]
        iou = np.asarray(coco.iou(list(masks.rles), wanted, [0] * len(wanted)))
        return cls(iou.max(axis=0)[large], iou.max(axis=1))


def _rle(mask: Bool) -> dict[str, object]:
    from pycocotools import mask as coco

    encoded: dict[str, object] = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return encoded
