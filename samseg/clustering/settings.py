"""The `cluster` section of a config: how classes are fitted, and when they are refitted."""

from typing import Any

from pydantic import Field

from samseg.clustering import DBSCAN, Clustering
from samseg.spec import Spec


class ClusterSettings(Spec):
    """How classes are fitted and when.

    Attributes:
        fit: the clustering strategy.
        reference: size of the fit sample, masks chosen by a hash of their ids. A fixed number keeps
            `min_samples` meaningful while the lake grows, and bounds the time of a fit, which is
            quadratic in it: 20,000 take about half a minute, 50,000 a few minutes.
        center: subtract the mean embedding first. The component that all masks share carries no
            class information and makes all distances too small to separate classes.
        refit_growth: refit when the lake's masks have grown by this factor since the last fit; all
            other nights only assign new masks to the existing classes.
    """

    fit: Clustering = DBSCAN()
    reference: int = Field(default=20_000, ge=1)
    center: bool = True
    refit_growth: float = Field(default=2.0, gt=1)

    def of_fit(self) -> dict[str, Any]:
        """Return the settings that determine a fit; a codebook with others is out of date."""
        return self.model_dump(mode="json", exclude={"refit_growth"})
