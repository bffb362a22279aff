"""Cells: a partition of many points into a few thousand small groups of similar directions.

A tree over all points takes memory quadratic in their number. Over cells it does not, and as
average linkage depends on the members of a group through their mean and number alone, a tree over
cells differs from one over all points only where cells mix classes. Up to `count` points each point
is a cell of its own.

Cells come from spherical k-means (Dhillon and Modha, 2001) with random seeds. Rows are taken in the
order of a hash of their bytes and nearest centres are decided in float64, so the partition depends
on the set of points alone.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.clustering.nearest import nearest
from samseg.clustering.transform import unit
from samseg.types import NOISE, Float32, Int64

_BLOCK = 8192
_ITERATIONS = 8
_TRAINED_ON = 20
"""Points per cell that centres are fitted to; the others are only assigned."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """k groups of n points.

    Attributes:
        of_point: (n,) int64, the cell of each point; -1 for points without one.
        means: (k, d) float64, mean of the members, not scaled to unit length.
        weights: (k,) float64, total weight of the members.
    """

    of_point: Int64
    means: NDArray[np.float64]
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.means)

    @classmethod
    def of(
        cls, points: Float32, rows: Int64, of_row: Int64, weights: NDArray[np.float64]
    ) -> "Cells":
        """Describe a partition; cells without members are left out, the others renumbered.

        Args:
            points: (n, d) float32.
            rows: (m,) int64, the points that have a cell, in the order in which they are summed.
            of_row: (m,) int64, the cell of each of them.
            weights: (m,) float64, what each of them counts in the mean.
        """
        _, of_row = np.unique(of_row, return_inverse=True)
        total = np.bincount(of_row, weights).astype(np.float64)
        sums = grouped_sum(points, rows, of_row, weights, len(total))
        of_point = np.full(len(points), NOISE, np.int64)
        of_point[rows] = of_row
        return cls(of_point, sums / total[:, None], total)


def partition(points: Float32, rows: Int64, count: int) -> Int64:
    """Assign rows to cells.

    Args:
        points: (n, d) float32 unit rows.
        rows: (m,) int64, the points to look at, in `canonical_order`.
        count: cells to make.

    Returns:
        (m,) int64 below `count`; some cells may have no member.
    """
    if len(rows) <= count:
        return np.arange(len(rows))
    train = points[rows[: count * _TRAINED_ON]]
    every, ones, same = np.arange(len(train)), np.ones(len(train)), np.zeros(count, np.int64)
    centers = train[:count]
    for _ in range(_ITERATIONS):
        cell = nearest(train, centers, same).index
        moved, directed = unit(grouped_sum(train, every, cell, ones, count))
        centers = np.where(directed[:, None], moved, centers)
    return nearest(points, centers, same).index[rows]


def canonical_order(points: Float32, rows: Int64) -> Int64:
    """Order rows by a hash of their bytes, whatever order they come in.

    Returns:
        (m,) int64, positions in `rows`; the first ones are a random sample.
    """
    hashes = b"".join(
        hashlib.blake2b(
            (points[row] + 0.0).tobytes(), digest_size=8, person=b"samseg-cell"
        ).digest()
        for row in rows
    )
    return np.argsort(np.frombuffer(hashes, ">u8"), kind="stable").astype(np.int64)


def grouped_sum(
    points: Float32, rows: Int64, group: Int64, weights: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Sum points by group, in the order of `rows`, in float64 and one block at a time.

    Args:
        points: (n, d) float32.
        rows: (m,) int64, the points to sum.
        group: (m,) int64, the group of each of them, below `count`.
        weights: (m,) float64.
        count: number of groups.

    Returns:
        (count, d) float64.
    """
    from scipy.sparse import coo_array

    total = np.zeros((count, points.shape[1]))
    for at in range(0, len(rows), _BLOCK):
        part = slice(at, at + _BLOCK)
        block = points[rows[part]].astype(np.float64)
        entries = (weights[part], (group[part], np.arange(len(block))))
        total += coo_array(entries, shape=(count, len(block))).tocsr() @ block
    return total
