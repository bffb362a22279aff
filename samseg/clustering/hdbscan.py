"""HDBSCAN by cosine distance: classes are dense regions of any density, much is noise.

Campello, Moulavi, Sander, 2013, as implemented by scikit-learn, on the euclidean distance of unit
vectors, which orders pairs as cosine distance does. Time is quadratic. Up to 10,000 points the
distances are held in memory (1.5 GB, some seconds); beyond that they are not, and the fit takes
minutes. On photos of many things it leaves a third to a half of the true segments as noise, where
linkage leaves a tenth; it suits a lake of few kinds amid much that recurs nowhere.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from samseg.clustering.cells import canonical_order
from samseg.clustering.fit import Fit
from samseg.clustering.transform import unit
from samseg.spec import Spec
from samseg.types import NOISE, Float32

_IN_MEMORY = 10_000
"""Points up to which all distances are held."""


class HDBSCAN(Spec):
    """Density-based classes without a radius.

    Attributes:
        min_cluster_size: masks that make a class.
        min_samples: neighbours, itself included, that define the density at a mask; more make more
            of the masks noise.
    """

    SAMPLE: ClassVar[int] = _IN_MEMORY

    kind: Literal["hdbscan"] = "hdbscan"
    min_cluster_size: int = Field(default=5, ge=2)
    min_samples: int = Field(default=2, ge=1)

    def fit(self, points: Float32, keys: Sequence[str] | None = None) -> Fit:
        """Find classes; see `DBSCAN.fit` for the arguments (`keys` are ignored)."""
        from sklearn import cluster

        vectors, valid = unit(points)
        rows = np.flatnonzero(valid)
        rows = rows[canonical_order(vectors, rows)]
        labels = np.full(len(points), NOISE, np.int64)
        inside = vectors[rows].astype(np.float64)
        if len(rows) >= max(self.min_cluster_size, self.min_samples):
            if (inside == inside[0]).all():
                labels[rows] = 0  # there is no density to compare
            else:
                algorithm = "brute" if len(rows) <= _IN_MEMORY else "ball_tree"
                found = cluster.HDBSCAN(
                    min_cluster_size=self.min_cluster_size,
                    min_samples=self.min_samples,
                    algorithm=algorithm,
                    copy=True,
                ).fit(inside)
                labels[rows] = found.labels_
        return Fit(labels, core=labels != NOISE, eps=None, invalid=len(points) - len(rows))
