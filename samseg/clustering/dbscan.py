"""DBSCAN by cosine distance: classes are dense regions of any shape, the rest is noise.

Exact. Memory is linear in the number of points, time quadratic: two passes of float64 tiles
(20,000 points of 256 dimensions take about 15 s on one core, 50,000 about 2 min). For more points,
fit a sample and assign the rest.

Ester, Kriegel, Sander, Xu, 1996. Core points and their classes equal scikit-learn's. A border
point takes the class of its nearest core point, so unlike scikit-learn's the result does not depend
on the order of the rows. Pairs whose distance equals eps to the last bit may fall on either side.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from samseg.clustering.fit import Fit
from samseg.clustering.nearest import nearest
from samseg.clustering.transform import unit
from samseg.spec import Spec
from samseg.types import NOISE, Bool, Float32, Int64

_TILE = 4 << 20


class DBSCAN(Spec):
    """Density-based classes.

    Attributes:
        eps: cosine distance within which two masks are neighbours; `auto` chooses the value whose
            classes are best reproduced by two halves of the masks (`samseg.clustering.eps`).
        min_samples: neighbours, itself included, that make a mask a core point; a class needs at
            least this many masks.
    """

    SAMPLE: ClassVar[int] = 20_000

    kind: Literal["dbscan"] = "dbscan"
    eps: Annotated[float, Field(gt=0, lt=2)] | Literal["auto"] = "auto"
    min_samples: int = Field(default=5, ge=1)

    def fit(self, points: Float32, keys: Sequence[str] | None = None) -> Fit:
        """Find classes.

        Args:
            points: (n, d) float32; only directions matter.
            keys: group of each row (its image). Rows of one group stay in the same half when eps
                is chosen, so that a class counts only if it recurs across groups. None treats
                every row as its own group.
        """
        vectors, valid = unit(points)
        rows = np.flatnonzero(valid)
        vectors = vectors[rows]
        curve: tuple[dict[str, Any], ...] = ()
        remark = ""
        if self.eps == "auto":
            from samseg.clustering import eps as radius

            valid_keys = None if keys is None else [keys[int(i)] for i in rows]
            eps, curve = radius.choose(vectors, self.min_samples, valid_keys)
            if not any(row["information"] > 0 for row in curve):
                remark = (
                    f"eps: auto fell back to {radius.FALLBACK}: at no radius do two halves of the "
                    "masks have classes in common"
                )
        else:
            eps = self.eps
        found, is_core = dbscan(vectors, eps, self.min_samples)
        labels = np.full(len(points), NOISE, np.int64)
        core = np.zeros(len(points), np.bool_)
        labels[rows], core[rows] = found, is_core
        return Fit(labels, core, eps, invalid=len(points) - len(rows), curve=curve, remark=remark)


def dbscan(vectors: Float32, eps: float, min_samples: int) -> tuple[Int64, Bool]:
    """Cluster unit rows; see the module's docstring.

    Args:
        vectors: (n, d) float32 unit rows.
        eps: cosine distance.
        min_samples: neighbours, itself included, that make a point a core point.

    Returns:
        (n,) int64 labels, -1 for noise, numbered by first core row; and (n,) bool, True for core
        points.
    """
    degree = np.zeros(len(vectors), np.int64)
    for rows, within in _neighbours(vectors, eps):
        degree[rows] = within.sum(axis=1)
    core = degree >= min_samples
    labels = np.full(len(vectors), NOISE, np.int64)
    if core.any():
        labels[core] = _components(vectors[core], eps)
        found = nearest(vectors[~core], vectors[core], labels[core])
        labels[~core] = np.where(found.distance <= eps, labels[core][found.index], NOISE)
    return labels, core


def _components(vectors: Float32, eps: float) -> Int64:
    """Return the connected component of each row, numbered by first row."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(vectors)
    component = np.arange(n)
    for rows, within in _neighbours(vectors, eps):
        left, right = np.nonzero(within)
        pairs = np.unique(component[left + rows.start] * n + component[right])
        size = int(component.max()) + 1
        edges = (np.ones(len(pairs), np.bool_), (pairs // n, pairs % n))
        _, merged = connected_components(coo_array(edges, shape=(size, size)), directed=False)
        component = merged[component].astype(np.int64)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def _neighbours(vectors: Float32, eps: float) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
    """Yield (rows, (len(rows), n) bool: within eps), one tile of rows at a time."""
    n = len(vectors)
    exact = vectors.astype(np.float64)
    step = max(1, _TILE // max(n, 1))
    for at in range(0, n, step):
        rows = slice(at, min(at + step, n))
        within = 1 - exact[rows] @ exact.T <= eps
        own = np.arange(rows.start, rows.stop)
        within[own - rows.start, own] = True
        yield rows, within
