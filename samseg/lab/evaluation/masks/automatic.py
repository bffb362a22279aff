"""Automatic masks against the true segments of a photo.

A segment counts as found if any mask reaches the IoU threshold with it, and a mask as correct if
any segment does. There is no one-to-one matching, because automatic masks are nested (part, object,
whole), and so are the segments of several annotators.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from samseg.lab.evaluation.masks.truth import MIN_AREA
from samseg.lab.labelled import LabelledPhoto
from samseg.spec import Spec
from samseg.types import Bool, Masks

COUNTS = (20, 50, 100)
"""Numbers of masks per photo at which checkpoints are compared."""


class AutomaticScores(Spec):
    """Scores of automatic masks over several photos.

    Attributes:
        photos: number of photos.
        segments: number of true segments over 0.2 % of their photo.
        recall_50: fraction of these found at IoU 0.5; None if there are none.
        recall_75: the same at IoU 0.75.
        recall_50_at: recall at IoU 0.5 of the masks of highest predicted IoU, by their number.
        precision_50: fraction of the masks that match a true segment of any size at IoU 0.5; None
            if there are no masks.
        masks_per_photo: mean number of masks.
    """

    photos: int
    segments: int
    recall_50: float | None
    recall_75: float | None
    recall_50_at: dict[int, float] = Field(default_factory=dict)
    precision_50: float | None
    masks_per_photo: float

    @classmethod
    def of(cls, photos: Sequence["Hits"]) -> "AutomaticScores | None":
        """Score photos, with equal weight for every segment and mask; None without photos."""
        if not photos:
            return None
        best = np.concatenate([p.of_segments for p in photos])
        masks = np.concatenate([p.of_masks for p in photos])
        ranked = np.concatenate([p.of_ranked for p in photos], axis=1)
        return cls(
            photos=len(photos),
            segments=len(best),
            recall_50=float((best >= 0.5).mean()) if len(best) else None,
            recall_75=float((best >= 0.75).mean()) if len(best) else None,
            recall_50_at={
                n: float((found >= 0.5).mean())
                for n, found in zip(COUNTS, ranked, strict=True)
                if len(found)
            },
            precision_50=float((masks >= 0.5).mean()) if len(masks) else None,
            masks_per_photo=len(masks) / len(photos),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Best IoU of every segment and mask of one photo.

    Attributes:
        of_segments: (s,) float64, for each segment over 0.2 % the highest IoU of any mask.
        of_ranked: (c, s) float64, of_segments with the first COUNTS masks by predicted IoU.
        of_masks: (m,) float64, for each mask the highest IoU of any segment.
    """

    of_segments: NDArray[np.float64]
    of_ranked: NDArray[np.float64]
    of_masks: NDArray[np.float64]

    @classmethod
    def of(cls, masks: Masks, photo: LabelledPhoto) -> "Hits":
        """Compare all masks of a photo with all of its segments."""
        iou, large = segment_ious(masks, photo)
        if not iou.size:
            none = np.zeros(large.sum())
            return cls(none, np.zeros((len(COUNTS), len(none))), np.zeros(len(masks)))
        ranked = iou[np.argsort(-masks.predicted_iou, kind="stable")][:, large]
        first = np.stack([ranked[:n].max(axis=0) for n in COUNTS])
        return cls(iou.max(axis=0)[large], first, iou.max(axis=1))


def segment_ious(masks: Masks, photo: LabelledPhoto) -> tuple[NDArray[np.float64], Bool]:
    """Compare the m masks of a photo with its s segments.

    Returns:
        (m, s) float64 IoU, and (s,) bool: which segments cover more than 0.2 % of the photo.
    """
    from pycocotools import mask as coco

    segments = photo.segments()
    large = np.isin(segments, photo.segments(MIN_AREA))
    if not len(masks) or not segments:
        return np.zeros((len(masks), len(segments))), large
    true = [_rle(photo.mask(i)) for i in segments]
    return np.asarray(coco.iou(list(masks.rles), true, [0] * len(true))), large


def _rle(mask: Bool) -> dict[str, object]:
    from pycocotools import mask as coco

    encoded: dict[str, object] = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return encoded
