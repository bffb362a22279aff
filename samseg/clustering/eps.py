"""Automatic choice of eps: the radius whose classes two halves of the masks reproduce best.

The masks are split into two halves, by image where known. At each radius of a grid each half is
clustered on its own, and each clustering labels all masks: a mask takes the class of its nearest
core point within the radius. The score is the mutual information of the two labelings, with noise
as one label, minus its expectation under chance (Vinh, Epps, Bailey, 2010). It grows with the
number of classes, their reproducibility and their coverage, and is zero where all masks are noise
or all are in one class. The smallest radius within 5 % of the best score is chosen: it assigns the
fewest unrelated masks in later nights.

The clusterings of all radii come from one minimum spanning tree of the mutual reachability distance
(Campello, Moulavi, Sander, 2013); cutting it at eps yields DBSCAN's core-point classes. Distances
are float32, which affects this choice only. Time is quadratic in the number of masks. The distances
of one half are cached up to half a gigabyte and recomputed on demand beyond that.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samseg.types import NOISE, Bool, Float32, Int64

GRID = tuple(float(f"{eps:.4g}") for eps in np.geomspace(0.005, 0.4, 28))
"""Candidate radii. Beyond 0.4 the masks of a few hundred photos chain into one class."""
FALLBACK = 0.1
"""The radius used where no candidate scores above zero, for example with very few masks."""
_NEAR_BEST = 0.95
_DENSE = 128 << 20
_TILE = 4 << 20


def choose(
    vectors: Float32, min_samples: int, keys: Sequence[str] | None = None
) -> tuple[float, tuple[dict[str, Any], ...]]:
    """Choose eps.

    Args:
        vectors: (n, d) float32 unit rows.
        min_samples: that of the fit of all rows; each half uses half of it.
        keys: group of each row; see `halves`.

    Returns:
        eps, and the curve: per radius its `eps`, `classes` (mean of the halves), `stability`
        (adjusted Rand index over masks with a class in either labeling), `coverage` (share of
        masks with a class in both), `largest` (share of the largest class) and `information`
        (the score, nats).
    """
    half = halves(len(vectors), keys)
    needed = max(2, (min_samples + 1) // 2)
    trees = [_SpanningTree.of(vectors[half == side], needed) for side in (False, True)]
    sweeps = [_Sweep(vectors, vectors[half == side], trees[int(side)]) for side in (False, True)]
    curve = []
    for eps in GRID:
        first, second = (sweep.labels_at(eps) for sweep in sweeps)
        curve.append({"eps": eps, **_agreement(first, second)})
    best = max(row["information"] for row in curve)
    if best <= 0:
        return FALLBACK, tuple(curve)
    return next(r["eps"] for r in curve if r["information"] >= _NEAR_BEST * best), tuple(curve)


def halves(n: int, keys: Sequence[str] | None = None) -> Bool:
    """Split n rows into two halves of similar size; True is the second.

    Rows of one key stay together. Keys are distributed in the order of their hashes, independent of
    the order of the rows. Without keys, or where one key has so many rows that the smaller half
    would hold less than a quarter of them, rows alternate between the halves.
    """
    alternating = np.arange(n) % 2 == 1
    if keys is None:
        return alternating
    unique, inverse, counts = np.unique(
        np.asarray(keys, dtype=np.str_), return_inverse=True, return_counts=True
    )
    order = sorted(range(len(unique)), key=lambda i: _hash(str(unique[i])))
    second = np.zeros(len(unique), np.bool_)
    size = [0, 0]
    for i in order:
        side = int(size[1] < size[0])
        second[i] = bool(side)
        size[side] += int(counts[i])
    return alternating if min(size) * 4 < n else second[inverse]


def _hash(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=8, person=b"samseg-half").digest()


@dataclass(frozen=True, slots=True, eq=False)
class _SpanningTree:
    """Minimum spanning tree of the mutual reachability distance over n points.

    Attributes:
        edges: (n - 1, 2) int64, the ends of each edge.
        lengths: (n - 1,) float32.
        core_distance: (n,) float32, the smallest radius at which a point is a core point.
    """

    edges: Int64
    lengths: Float32
    core_distance: Float32

    @classmethod
    def of(cls, vectors: Float32, min_samples: int) -> "_SpanningTree":
        """Build by Prim's algorithm."""
        n = len(vectors)
        if n < min_samples:
            return cls(np.zeros((0, 2), np.int64), np.zeros(0, np.float32), np.full(n, np.inf))
        from_row, core_distance = _distances(vectors, min_samples)
        edges, lengths = np.zeros((n - 1, 2), np.int64), np.zeros(n - 1, np.float32)
        best = np.full(n, np.inf, np.float32)
        link = np.zeros(n, np.int64)
        outside = np.ones(n, np.bool_)
        current = 0
        for i in range(n - 1):
            outside[current] = False
            length = np.maximum(
                np.maximum(from_row(current), core_distance), core_distance[current]
            )
            shorter = outside & (length < best)
            best[shorter] = length[shorter]
            link[shorter] = current
            best[current] = np.inf
            current = int(best.argmin())
            edges[i], lengths[i] = (link[current], current), best[current]
        return cls(edges, lengths, core_distance)

    def cut(self, eps: float) -> Int64:
        """Return the class of each core point at `eps`, -1 elsewhere."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        n = len(self.core_distance)
        labels = np.full(n, NOISE, np.int64)
        core = self.core_distance <= eps
        if core.any():
            ends = self.edges[self.lengths <= eps].T
            graph = coo_array((np.ones(ends.shape[1], np.bool_), tuple(ends)), shape=(n, n))
            _, component = connected_components(graph, directed=False)
            labels[core] = np.unique(component[core], return_inverse=True)[1]
        return labels


def _distances(vectors: Float32, min_samples: int) -> tuple[Callable[[int], Float32], Float32]:
    """Return a function from a row to its distances to all rows, and the core distances."""
    n = len(vectors)
    keep = n * n <= _DENSE
    matrix = np.empty((n, n), np.float32) if keep else np.empty((0, 0), np.float32)
    core_distance = np.empty(n, np.float32)
    step = max(1, _TILE // n)
    for at in range(0, n, step):
        rows = np.arange(at, min(at + step, n))
        block = np.maximum(1 - vectors[rows] @ vectors.T, 0)
        block[rows - at, rows] = 0
        core_distance[rows] = np.partition(block, min_samples - 1, axis=1)[:, min_samples - 1]
        if keep:
            matrix[rows] = block
    if keep:
        return matrix.__getitem__, core_distance
    return lambda row: np.maximum(1 - vectors @ vectors[row], 0), core_distance


class _Sweep:
    """Labels all points by the classes of one half, at ascending radii.

    The set of core points only grows with the radius, so each pair is compared once in total.
    """

    def __init__(self, points: Float32, vectors: Float32, tree: _SpanningTree):
        self._points, self._vectors, self._tree = points, vectors, tree
        self._eps = -1.0
        self._cosine = np.full(len(points), -np.inf, np.float32)
        self._index = np.zeros(len(points), np.int64)

    def labels_at(self, eps: float) -> Int64:
        """Return the class of every point at `eps`, -1 where no core point is within it."""
        labels = self._tree.cut(eps)
        core_distance = self._tree.core_distance
        added = np.flatnonzero((core_distance <= eps) & (core_distance > self._eps))
        self._eps = eps
        if len(added):
            self._update_nearest(added)
        if not (labels >= 0).any():
            return np.full(len(self._points), NOISE, np.int64)
        return np.where(1 - self._cosine <= eps, labels[self._index], NOISE)

    def _update_nearest(self, added: Int64) -> None:
        step = max(1, _TILE // len(added))
        for at in range(0, len(self._points), step):
            rows = np.arange(at, min(at + step, len(self._points)))
            cosine = self._points[rows] @ self._vectors[added].T
            best = cosine.argmax(axis=1)
            value = cosine[np.arange(len(rows)), best]
            nearer = value > self._cosine[rows]
            self._cosine[rows[nearer]] = value[nearer]
            self._index[rows[nearer]] = added[best[nearer]]


def _agreement(first: Int64, second: Int64) -> dict[str, Any]:
    """Return the columns of the curve but `eps` for two labelings of the same points."""
    from sklearn.metrics import adjusted_rand_score, mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

    either = (first >= 0) | (second >= 0)
    both = (first >= 0) & (second >= 0)
    information = 0.0
    if len(np.unique(first)) > 1 and len(np.unique(second)) > 1:
        table = contingency_matrix(first, second, sparse=True)
        by_chance = expected_mutual_information(table, len(first))
        information = float(mutual_info_score(None, None, contingency=table) - by_chance)
    sizes = [np.bincount(x[x >= 0]).max(initial=0) for x in (first, second)]
    n = max(len(first), 1)
    return {
        "classes": float((first.max(initial=-1) + second.max(initial=-1)) / 2 + 1),
        "stability": round(float(adjusted_rand_score(first[either], second[either])), 6)
        if either.any()
        else 0.0,
        "coverage": round(float(both.sum()) / n, 6),
        "largest": round(float(max(sizes)) / n, 6),
        "information": round(information, 6),
    }
