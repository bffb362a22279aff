"""Thresholds of automatic masks for a checkpoint.

The candidates of a photo are generated once, without thresholds and without suppression. Each pair
of thresholds is then applied to them as `SamAutomaticMaskGenerator` does: filter, then suppress by
predicted IoU.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from samseg.errors import ConfigError
from samseg.lab.evaluation.masks.automatic import segment_ious
from samseg.lab.labelled import LabelledSet
from samseg.progress import Progress
from samseg.sam.automatic.candidates import suppress
from samseg.sam.segmenter import Segmenter
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.spec import Spec
from samseg.types import Masks

PRED_IOU = tuple(round(0.1 * i, 1) for i in range(10))
STABILITY = (0.0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)

KEPT_RECALL = 0.95
"""The recommended thresholds keep at least this fraction of the recall without thresholds."""


class ThresholdScores(Spec):
    """Automatic masks with one pair of thresholds; means over sets, which count alike.

    Attributes:
        pred_iou_thresh: see `MaskSettings`.
        stability_score_thresh: see `MaskSettings`.
        recall_50: fraction of the true segments over 0.2 % of their photo found at IoU 0.5.
        precision_50: fraction of the masks that match a true segment at IoU 0.5; 0 without masks.
        masks_per_photo: mean number of masks.
    """

    pred_iou_thresh: float
    stability_score_thresh: float
    recall_50: float
    precision_50: float
    masks_per_photo: float


def compare_thresholds(
    sets: Sequence[LabelledSet],
    model: str,
    progress: Progress,
    points_per_side: int = 16,
    held_out: float | None = None,
    photos: int | None = None,
) -> tuple[ThresholdScores, ...]:
    """Score every pair of `PRED_IOU` and `STABILITY` on labelled photos.

    Args:
        sets: the labelled photo sets.
        model: a checkpoint: a name, a path or a URL.
        progress: where progress is shown.
        points_per_side: point grid.
        held_out: only photos that a training run with this `held_out` did not use.
        photos: photos per set, the first by name.

    Raises:
        CheckpointError: the checkpoint is not available.
        ConfigError: a set is invalid, or has no photo or no segment to score.
    """
    everything = MaskSettings(
        points_per_side=points_per_side,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
    )
    segmenter = Segmenter.load(ModelSpec(checkpoint=model), everything)
    by_set = [_score_set(segmenter, s, progress, held_out, photos) for s in sets]
    recall, precision, masks = np.mean(by_set, axis=0).T
    return tuple(
        ThresholdScores(
            pred_iou_thresh=pred_iou,
            stability_score_thresh=stability,
            recall_50=float(recall[i]),
            precision_50=float(precision[i]),
            masks_per_photo=float(masks[i]),
        )
        for i, (pred_iou, stability) in enumerate(product(PRED_IOU, STABILITY))
    )


def recommended(scores: Sequence[ThresholdScores]) -> ThresholdScores:
    """Return the pair with the fewest masks that keeps `KEPT_RECALL` of the highest recall."""
    needed = KEPT_RECALL * max(s.recall_50 for s in scores)
    return min((s for s in scores if s.recall_50 >= needed), key=lambda s: s.masks_per_photo)


def best_per_count(scores: Sequence[ThresholdScores]) -> Iterator[ThresholdScores]:
    """Yield the pairs that no other pair beats in both recall and number of masks, fewest first."""
    recall = -1.0
    for s in sorted(scores, key=lambda s: (s.masks_per_photo, -s.recall_50)):
        if s.recall_50 > recall:
            recall = s.recall_50
            yield s


def _score_set(
    segmenter: Segmenter,
    labelled: LabelledSet,
    progress: Progress,
    held_out: float | None,
    photos: int | None,
) -> NDArray[np.float64]:
    """Return (pairs, 3): recall, precision and masks per photo."""
    stems = labelled.chosen(held_out, photos)
    counts = np.zeros((len(PRED_IOU) * len(STABILITY), 3))  # found, correct, masks
    segments = 0
    progress.start(labelled.name, len(stems), "photos")
    for n, stem in enumerate(stems):
        photo = labelled.read(stem)
        masks = segmenter.segment(photo.pixels).masks
        iou, large = segment_ious(masks, photo)
        segments += int(large.sum())
        for i, (pred_iou, stability) in enumerate(product(PRED_IOU, STABILITY)):
            hits = iou[_filtered(masks, pred_iou, stability)] >= 0.5
            counts[i] += hits[:, large].any(axis=0).sum(), hits.any(axis=1).sum(), len(hits)
        progress.update(n + 1)
    progress.finish(f"{len(stems)} photos, {segments} segments")
    if not segments:
        raise ConfigError(
            f"no segment of the {len(stems)} photos of {labelled.folder} covers more than 0.2 % of "
            "its photo, so there is nothing to score"
        )
    found, correct, total = counts.T
    return np.stack([found / segments, correct / np.maximum(total, 1), total / len(stems)], axis=1)


def _filtered(masks: Masks, pred_iou: float, stability: float) -> NDArray[np.int64]:
    """Return the positions of the masks that `SamAutomaticMaskGenerator` would keep."""
    kept = np.ones(len(masks), dtype=np.bool_)
    if pred_iou > 0:
        kept &= masks.predicted_iou > pred_iou
    if stability > 0:
        kept &= masks.stability_score >= stability
    positions = np.flatnonzero(kept)
    threshold = MaskSettings().box_nms_thresh
    return positions[suppress(masks.boxes[kept], masks.predicted_iou[kept], threshold)]
