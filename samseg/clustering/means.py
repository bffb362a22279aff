"""Class means: one prototype per class, and the radius within which it is recognised."""

import numpy as np
from numpy.typing import NDArray

from samseg.clustering.cells import grouped_sum
from samseg.clustering.transform import unit
from samseg.types import NOISE, Float32, Int64

COVERED = 0.99
"""Share of a class's members that its radius covers."""

_ROUNDING = 1e-6
"""Distance of equal directions that float32 unit vectors may show."""

_BLOCK = 8192


def class_means(
    points: Float32, labels: Int64, weights: NDArray[np.float64]
) -> tuple[Float32, NDArray[np.float64]]:
    """Return the mean direction of each class and its radius.

    The radius is the 99th percentile of the members' cosine distance to the mean. The mean is taken
    without the member in question: a member pulls it towards itself, most in a small class, and a
    new mask does not.

    Args:
        points: (n, d) float32 unit rows.
        labels: (n,) int64, 0 to k - 1, or -1. Every class has two members at least.
        weights: (n,) float64, how many masks each one stands for.

    Returns:
        (k, d) float32 unit rows, and (k,) float64 radii that float32 represents exactly.
    """
    rows = np.flatnonzero(labels != NOISE)
    labels, weights = labels[rows], weights[rows]
    count = int(labels.max(initial=NOISE)) + 1
    sums = grouped_sum(points, rows, labels, weights, count)
    cosine = _cosine_to_mean_of_others(points, rows, labels, weights, sums)
    radii = np.zeros(count, np.float32)
    order = np.lexsort((-cosine, labels))
    ends = np.searchsorted(labels[order], np.arange(count + 1))
    for label in range(count):
        nearest_first = order[ends[label] : ends[label + 1]]
        total = np.cumsum(weights[nearest_first])
        last = int(np.searchsorted(total, COVERED * total[-1]))
        radii[label] = max(1 - cosine[nearest_first[last]], 0) + _ROUNDING
    return unit(sums)[0], radii.astype(np.float64)


def _cosine_to_mean_of_others(
    points: Float32,
    rows: Int64,
    labels: Int64,
    weights: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> NDArray[np.float64]:
    cosine = np.zeros(len(rows))
    for at in range(0, len(rows), _BLOCK):
        part = slice(at, at + _BLOCK)
        members = points[rows[part]].astype(np.float64)
        others = sums[labels[part]] - weights[part, None] * members
        length = np.linalg.norm(others, axis=1)
        along = np.einsum("ij,ij->i", members, others)
        cosine[part] = np.divide(along, length, out=np.zeros_like(along), where=length > 0)
    return cosine
