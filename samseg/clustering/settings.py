"""The `cluster` section of a config: how classes are found, and when they are found anew."""

from typing import Any

from pydantic import Field

from samseg.clustering import DBSCAN, Clustering
from samseg.spec import Spec


class ClusterSettings(Spec):
    """How classes are found and kept.

    Attributes:
        fit: the strategy that finds classes in the reference masks.
        reference: masks that a fit looks at, chosen by a hash of their ids. A fixed number keeps
            the meaning of `min_samples` while the lake grows, and bounds the time of a fit, which
            is quadratic in it: 20,000 take about half a minute, 50,000 a few minutes.
        center: subtract the mean embedding first. What all masks have in common says nothing of
            classes, and without it distances are too small to tell masks apart.
        refit_growth: fit anew when the lake's masks have grown by this factor since the last fit;
            every other night only assigns new masks to the classes there are.
    """

    fit: Clustering = DBSCAN()
    reference: int = Field(default=20_000, ge=1)
    center: bool = True
    refit_growth: float = Field(default=2.0, gt=1)

    def of_fit(self) -> dict[str, Any]:
        """Return what determines a fit; a codebook of other values is out of date."""
        return self.model_dump(mode="json", exclude={"refit_growth"})
