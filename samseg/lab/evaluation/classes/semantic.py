"""Label maps drawn from masks, and their mean intersection over union with the true ones.

The maps are drawn as by the `png` exporter: where masks overlap, the smallest one that has a class
is seen. Pixels without a true segment, or of a category that is left out, are not counted.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from samseg.lab.evaluation.classes.labelled_masks import LabelledMasks, codes_of
from samseg.masks.painting import painted
from samseg.types import NOISE, Int64


def pixel_tables(masks: LabelledMasks, labelings: Sequence[Int64]) -> list[Int64]:
    """Count the pixels of each class and true category.

    Args:
        masks: n masks.
        labelings: each (n,) int64, the class of every mask, 0 to k - 1, or -1.

    Returns:
        For each labeling (photos, k + 1, categories) int64; row k is no class. Photos are in the
        order of `masks.truth`.
    """
    shapes = [(int(labels.max(initial=NOISE)) + 2, len(masks.categories)) for labels in labelings]
    found = [np.zeros((len(masks.truth), *shape), np.int64) for shape in shapes]
    none = np.zeros(0, np.int64)
    for number, (photo, truth) in enumerate(masks.truth.items()):
        codes = np.maximum(codes_of(truth, masks.categories), -1).tolist()
        true = painted(truth.size, truth.rles, truth.areas.tolist(), codes, background=-1)
        counted = true >= 0
        rows = masks.rows_of.get(photo, none)
        for labels, shape, table in zip(labelings, shapes, found, strict=True):
            own = rows[labels[rows] != NOISE]
            drawn = _drawn(masks, truth.size, own, labels[own], shape[0] - 1)
            pairs = drawn[counted] * shape[1] + true[counted]
            table[number] = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)
    return found


def _drawn(
    masks: LabelledMasks, size: tuple[int, int], rows: Int64, labels: Int64, none: int
) -> NDArray[np.integer]:
    from pycocotools import mask as coco

    rles = [masks.rles[row] for row in rows]
    areas = coco.area(rles).tolist() if rles else []
    return painted(size, rles, areas, labels.tolist(), background=none)


def mean_iou(table: Int64) -> float:
    """Return the mean IoU of the one-to-one naming with the most correct pixels (Kuhn, 1955).

    Args:
        table: (k + 1, categories) int64, pixels; the last row is no class.
    """
    from scipy.optimize import linear_sum_assignment

    return _mean_iou(table, zip(*linear_sum_assignment(table[:-1], maximize=True), strict=True))


def ceiling(table: Int64) -> float:
    """Return the mean IoU where classes are the categories."""
    return _mean_iou(table, ((i, i) for i in range(len(table) - 1)))


def shared(table: Int64) -> float:
    """Return the mean IoU where every class has the category of most of its pixels."""
    named = np.zeros((table.shape[1] + 1, table.shape[1]), np.int64)
    np.add.at(named, table[:-1].argmax(axis=1), table[:-1])
    named[-1] = table[-1]
    return ceiling(named)


def _mean_iou(table: Int64, pairs: Iterator[tuple[int, int]]) -> float:
    """Average over the categories that occur; one without a class has IoU 0."""
    true, drawn = table.sum(axis=0), table.sum(axis=1)
    iou = np.zeros(table.shape[1])
    for row, column in pairs:
        union = true[column] + drawn[row] - table[row, column]
        iou[column] = table[row, column] / union if union else 0.0
    return float(iou[true > 0].mean()) if true.any() else 0.0
