"""Spherical k-means, for a fixed number of classes where every mask must have one.

Unsuitable where the number of classes is unknown or much of the lake is noise: every mask with a
direction is assigned to its nearest centre at any distance.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from samseg.clustering.fit import Fit
from samseg.clustering.nearest import nearest
from samseg.clustering.transform import unit
from samseg.spec import Spec
from samseg.types import NOISE, Float32

_MAX_DISTANCE = 2.0
"""The largest possible cosine distance."""


class KMeans(Spec):
    """A fixed number of classes.

    Attributes:
        classes: their number; fewer if there are fewer distinct masks.
    """

    SAMPLE: ClassVar[int] = 20_000

    kind: Literal["kmeans"] = "kmeans"
    classes: int = Field(ge=1)

    def fit(self, points: Float32, keys: Sequence[str] | None = None) -> Fit:
        """Find classes; see `DBSCAN.fit` for the arguments (`keys` are ignored)."""
        from sklearn.cluster import KMeans as Lloyd

        vectors, valid = unit(points)
        rows = np.flatnonzero(valid)
        # Sorting makes the result independent of the order of the rows.
        rows = rows[np.lexsort(vectors[rows].T[::-1])]
        distinct = np.unique(vectors[rows], axis=0)
        labels = np.full(len(points), NOISE, np.int64)
        count = min(self.classes, len(distinct))
        if count == 0:
            none = np.zeros((0, points.shape[1]), np.float32)
            return Fit(labels, valid, _MAX_DISTANCE, len(points), none)
        lloyd = Lloyd(count, n_init=4, random_state=0).fit(vectors[rows].astype(np.float64))
        means = [vectors[rows[lloyd.labels_ == k]].mean(axis=0) for k in range(count)]
        centers, directed = unit(np.array(means))
        found = nearest(vectors[rows], centers[directed], np.arange(directed.sum()))
        kept, labels[rows] = np.unique(found.index, return_inverse=True)
        invalid = len(points) - len(rows)
        return Fit(labels, valid, _MAX_DISTANCE, invalid, centers[directed][kept])
