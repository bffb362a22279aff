"""K-means on the sphere, for when a fixed number of classes is wanted and every mask must have one.

Not for finding out how many classes there are, and not where much of a lake is noise: every mask
with a direction joins its nearest centre, however far.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from samseg.clustering.fit import Fit
from samseg.clustering.nearest import nearest
from samseg.clustering.transform import unit
from samseg.spec import Spec
from samseg.types import NOISE, Float32

_ANY = 2.0
"""The largest cosine distance there is."""


class KMeans(Spec):
    """A fixed number of classes.

    Attributes:
        classes: how many; fewer where there are fewer different masks.
    """

    kind: Literal["kmeans"] = "kmeans"
    classes: int = Field(ge=1)

    def fit(self, points: Float32, keys: Sequence[str] | None = None) -> Fit:
        """Find classes; see `DBSCAN.fit` for the arguments (`keys` are not needed)."""
        from sklearn.cluster import KMeans as Lloyd

        vectors, valid = unit(points)
        inside = np.flatnonzero(valid)
        # An order of its own makes the result free of the order of the rows.
        inside = inside[np.lexsort(vectors[inside].T[::-1])]
        different = np.unique(vectors[inside], axis=0)
        labels = np.full(len(points), NOISE, np.int64)
        count = min(self.classes, len(different))
        if count == 0:
            none = np.zeros((0, points.shape[1]), np.float32)
            return Fit(labels, valid, _ANY, len(points), none)
        lloyd = Lloyd(count, n_init=4, random_state=0).fit(vectors[inside].astype(np.float64))
        means = [vectors[inside[lloyd.labels_ == k]].mean(axis=0) for k in range(count)]
        centers, directed = unit(np.array(means))
        found = nearest(vectors[inside], centers[directed], np.arange(directed.sum()))
        kept, labels[inside] = np.unique(found.index, return_inverse=True)
        return Fit(labels, valid, _ANY, len(points) - len(inside), centers[directed][kept])
