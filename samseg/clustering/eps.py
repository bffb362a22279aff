"""Chooses eps: the radius whose classes tell most about the masks, again and again.

The masks are split into two halves, by image where known. At each radius of a grid both halves are
clustered on their own, and each clustering labels all masks (a mask takes the class of its nearest
core point within the radius). The score is the mutual information of the two labelings, noise
being one value, less what chance would give (Vinh, Epps, Bailey, 2010): it grows with the number
of classes, with how well they are reproduced and with how many masks they cover, and is zero where
all masks are noise or all are one class. Of the radii within 5 % of the best score the smallest is
taken: it admits the fewest strangers in later nights.

Clustering at every radius comes from one minimum spanning tree of the mutual reachability distance
(Campello, Moulavi, Sander, 2013), whose cut at eps is DBSCAN's core points at eps. Distances here
are float32, which only this choice sees. Time is quadratic in the masks; memory is half a gigabyte
at most for the distances of one half, above which they are computed again where needed.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samseg.types import NOISE, Bool, Float32, Int64

GRID = tuple(float(f"{eps:.4g}") for eps in np.geomspace(0.005, 0.4, 28))
"""Radii tried. Beyond 0.4 the masks of a few hundred photos chain into one class."""
FALLBACK = 0.1
"""The radius where no radius reproduces anything, as with a handful of masks."""
_NEARLY = 0.95
_DENSE = 128 << 20
_TILE = 4 << 20


def choose(
    vectors: Float32, min_samples: int, keys: Sequence[str] | None = None
) -> tuple[float, tuple[dict[str, Any], ...]]:
    """Choose eps.

    Args:
        vectors: (n, d) float32 unit rows.
        min_samples: as for the fit of all rows; a half of them is held to half as many.
        keys: what each row comes from; see `halves`.

    Returns:
        eps, and the curve: per radius its `eps`, `classes` (mean of the halves), `stability`
        (adjusted Rand index over masks that either half places), `coverage` (share of masks that
        both place), `largest` (share of the largest class) and `information` (the score, nats).
    """
    half = halves(len(vectors), keys)
    needed = max(2, (min_samples + 1) // 2)
    trees = [_Tree.of(vectors[half == side], needed) for side in (False, True)]
    walks = [_Walk(vectors, vectors[half == side], trees[int(side)]) for side in (False, True)]
    curve = []
    for eps in GRID:
        first, second = (walk.to(eps) for walk in walks)
        curve.append({"eps": eps, **_agreement(first, second)})
    best = max(row["information"] for row in curve)
    if best <= 0:
        return FALLBACK, tuple(curve)
    return next(r["eps"] for r in curve if r["information"] >= _NEARLY * best), tuple(curve)


def halves(n: int, keys: Sequence[str] | None = None) -> Bool:
    """Split n rows into two halves of about the same size; True is the second.

    Rows of one key stay together, and which half a key goes to follows a hash of it, not the
    order of the rows. Where one key has so many rows that the halves would be lopsided, and where
    there are no keys, rows are dealt in turn.
    """
    dealt = np.arange(n) % 2 == 1
    if keys is None:
        return dealt
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
    return dealt if min(size) * 4 < n else second[inverse]


def _hash(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=8, person=b"samseg-half").digest()


@dataclass(frozen=True, slots=True, eq=False)
class _Tree:
    """Minimum spanning tree of the mutual reachability distance over n points.

    Attributes:
        edges: (n - 1, 2) int64, the ends of each edge.
        lengths: (n - 1,) float32.
        reach: (n,) float32, the radius from which on a point is core.
    """

    edges: Int64
    lengths: Float32
    reach: Float32

    @classmethod
    def of(cls, vectors: Float32, min_samples: int) -> "_Tree":
        """Build by Prim's algorithm."""
        n = len(vectors)
        if n < min_samples:
            return cls(np.zeros((0, 2), np.int64), np.zeros(0, np.float32), np.full(n, np.inf))
        from_row, reach = _distances(vectors, min_samples)
        edges, lengths = np.zeros((n - 1, 2), np.int64), np.zeros(n - 1, np.float32)
        best = np.full(n, np.inf, np.float32)
        link = np.zeros(n, np.int64)
        outside = np.ones(n, np.bool_)
        current = 0
        for i in range(n - 1):
            outside[current] = False
            length = np.maximum(np.maximum(from_row(current), reach), reach[current])
            shorter = outside & (length < best)
            best[shorter] = length[shorter]
            link[shorter] = current
            best[current] = np.inf
            current = int(best.argmin())
            edges[i], lengths[i] = (link[current], current), best[current]
        return cls(edges, lengths, reach)

    def cut(self, eps: float) -> Int64:
        """Return the class of each core point at `eps`, -1 elsewhere."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        n = len(self.reach)
        labels = np.full(n, NOISE, np.int64)
        core = self.reach <= eps
        if core.any():
            ends = self.edges[self.lengths <= eps].T
            graph = coo_array((np.ones(ends.shape[1], np.bool_), tuple(ends)), shape=(n, n))
            _, component = connected_components(graph, directed=False)
            labels[core] = np.unique(component[core], return_inverse=True)[1]
        return labels


def _distances(vectors: Float32, min_samples: int) -> tuple[Callable[[int], Float32], Float32]:
    """Return a function of one row's distances to all, and the distance to each row's k-th."""
    n = len(vectors)
    keep = n * n <= _DENSE
    matrix = np.empty((n, n), np.float32) if keep else np.empty((0, 0), np.float32)
    reach = np.empty(n, np.float32)
    step = max(1, _TILE // n)
    for at in range(0, n, step):
        rows = np.arange(at, min(at + step, n))
        block = np.maximum(1 - vectors[rows] @ vectors.T, 0)
        block[rows - at, rows] = 0
        reach[rows] = np.partition(block, min_samples - 1, axis=1)[:, min_samples - 1]
        if keep:
            matrix[rows] = block
    if keep:
        return matrix.__getitem__, reach
    return lambda row: np.maximum(1 - vectors @ vectors[row], 0), reach


class _Walk:
    """Labels all points by one half's classes, at one radius after another, ascending.

    Core points only ever join as the radius grows, so each pair is looked at once in all.
    """

    def __init__(self, points: Float32, vectors: Float32, tree: _Tree):
        self._points, self._vectors, self._tree = points, vectors, tree
        self._eps = -1.0
        self._cosine = np.full(len(points), -np.inf, np.float32)
        self._index = np.zeros(len(points), np.int64)

    def to(self, eps: float) -> Int64:
        """Return the class of every point at `eps`, -1 where no core point is that near."""
        labels = self._tree.cut(eps)
        joined = np.flatnonzero((self._tree.reach <= eps) & (self._tree.reach > self._eps))
        self._eps = eps
        if len(joined):
            self._look_at(joined)
        if not (labels >= 0).any():
            return np.full(len(self._points), NOISE, np.int64)
        return np.where(1 - self._cosine <= eps, labels[self._index], NOISE)

    def _look_at(self, joined: Int64) -> None:
        step = max(1, _TILE // len(joined))
        for at in range(0, len(self._points), step):
            rows = np.arange(at, min(at + step, len(self._points)))
            cosine = self._points[rows] @ self._vectors[joined].T
            best = cosine.argmax(axis=1)
            value = cosine[np.arange(len(rows)), best]
            nearer = value > self._cosine[rows]
            self._cosine[rows[nearer]] = value[nearer]
            self._index[rows[nearer]] = joined[best[nearer]]


def _agreement(first: Int64, second: Int64) -> dict[str, Any]:
    """Compare two labelings of the same points."""
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
