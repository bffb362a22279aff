"""Nearest prototypes by cosine distance: tiled float32 products, near ties resolved in float64.

The rounding of a float32 product depends on the tile shape, the BLAS and the number of threads.
Every prototype within the rounding error of the best is therefore compared again in float64, pair
by pair, so that results are identical for any tile.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.types import Float32, Int64

_BAND = 4e-5
"""Twice the rounding error of a float32 product of two unit vectors of 256 dimensions."""
_TILE = 4 << 20
_PAIRS = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The nearest prototype of each of n points.

    Attributes:
        index: (n,) int64, position of the prototype, the first of equally near ones; -1 if there
            are no prototypes.
        distance: (n,) float64, cosine distance to it; inf if there are no prototypes.
        other: (n,) float64, distance to the nearest prototype of another class; inf if there is
            none.
    """

    index: Int64
    distance: NDArray[np.float64]
    other: NDArray[np.float64]


def nearest(
    points: Float32, prototypes: Float32, classes: NDArray[np.integer], tile: int = _TILE
) -> Nearest:
    """Find the nearest prototype of each point, and the distance to the nearest other class.

    Args:
        points: (n, d) float32 unit rows.
        prototypes: (m, d) float32 unit rows.
        classes: (m,) class of each prototype.
        tile: cosines held in memory at a time; affects memory and speed only.
    """
    n, m = len(points), len(prototypes)
    index = np.full(n, -1, np.int64)
    distance, other = np.full(n, np.inf), np.full(n, np.inf)
    if m == 0:
        return Nearest(index, distance, other)
    several = bool((classes != classes[0]).any())
    step = max(1, tile // m)
    for at in range(0, n, step):
        rows = slice(at, at + step)
        cosine = points[rows] @ prototypes.T
        index[rows], distance[rows] = _decide(points[rows], prototypes, cosine)
        if several:
            cosine[classes[index[rows]][:, None] == classes[None, :]] = -np.inf
            _, other[rows] = _decide(points[rows], prototypes, cosine)
    return Nearest(index, distance, other)


def _decide(
    points: Float32, prototypes: Float32, cosine: Float32
) -> tuple[Int64, NDArray[np.float64]]:
    """Return position and distance of the nearest prototype; ties go to the first."""
    near = cosine >= cosine.max(axis=1, keepdims=True) - np.float32(_BAND)
    row, column = np.nonzero(near)
    exact = np.empty(len(row))
    for at in range(0, len(row), _PAIRS):
        pairs = slice(at, at + _PAIRS)
        left, right = points[row[pairs]], prototypes[column[pairs]]
        exact[pairs] = np.einsum("ij,ij->i", left.astype(np.float64), right.astype(np.float64))
    distance = np.maximum(1 - exact, 0)
    order = np.lexsort((column, distance, row))
    first = order[np.unique(row[order], return_index=True)[1]]
    return column[first], distance[first]
