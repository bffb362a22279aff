"""The `cluster` section of a config: how classes are fitted, and when they are refitted."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from samseg.clustering import Clustering, Linkage
from samseg.spec import Spec

_BEFORE = {"embedding": "sam"}
"""What held before a key existed, where its default is another value now."""


def _sample_of(known: dict[str, Any]) -> int:
    return known["fit"].SAMPLE if "fit" in known else Linkage.SAMPLE


class ClusterSettings(Spec):
    """How classes are fitted and when.

    Attributes:
        fit: the clustering strategy.
        granularity: height at which the tree of a fit is cut, in place of `fit.threshold`. Another
            value gives a new codebook of coarser or finer classes from the same tree, without a
            fit. For `linkage` only.
        embedding: name of the embedding that classes are fitted to; `sam` is the one in `masks`. A
            config that leaves it out means the first of its `embeddings` (`samseg.resume`).
        reference: size of the fit sample, masks chosen by a hash of their ids. A fixed number keeps
            the smallest size of a class meaningful while the lake grows, and bounds the cost of a
            fit. 200,000 for `linkage`, whose cost is proportional to it; 20,000 for `dbscan` and
            `kmeans` and 10,000 for `hdbscan`, where it is quadratic or memory is.
        center: subtract the mean embedding first. The component that all masks share carries no
            class information and makes all distances too small to separate classes.
        refit_growth: refit when the lake's masks have grown by this factor since the last fit; all
            other nights only assign new masks to the existing classes.
    """

    fit: Clustering = Linkage()
    granularity: float | None = Field(default=None, gt=0, lt=2)
    embedding: str = Field(default="sam", min_length=1)
    reference: int = Field(default_factory=_sample_of, ge=1)
    center: bool = True
    refit_growth: float = Field(default=2.0, gt=1)

    @model_validator(mode="after")
    def _has_a_tree(self) -> "ClusterSettings":
        if self.granularity is not None and not isinstance(self.fit, Linkage):
            raise ValueError(
                f"granularity cuts the tree of linkage, not that of {self.fit.kind!r}; "
                "use fit: {kind: linkage}, or leave granularity out"
            )
        return self

    @property
    def strategy(self) -> Clustering:
        """The strategy as it is used: cut at `granularity` where that is set."""
        if self.granularity is None:
            return self.fit
        return self.fit.model_copy(update={"threshold": self.granularity})

    def of_fit(self) -> dict[str, Any]:
        """Return the settings that determine a codebook; one of others is out of date."""
        return self.model_dump(mode="json", exclude={"refit_growth"})

    @classmethod
    def stored(cls, settings: Mapping[str, Any]) -> "ClusterSettings":
        """Read what `of_fit` wrote, in this version or an earlier one.

        Raises:
            ValidationError: it was written by a later version, with keys that this one lacks.
        """
        return cls.model_validate({**_BEFORE, **settings})

    def resumed(self, settings: Mapping[str, Any]) -> "ClusterSettings":
        """Fill keys that were not set with the values of the newest codebook.

        So a folder keeps its classes when defaults change: only what a config sets explicitly can
        make its codebook out of date. The size of the sample and the granularity belong to the kind
        of fit, and are not taken over when that changes.

        Args:
            settings: as stored with the codebook.
        """
        set_here = self.set_values()
        earlier = {**_BEFORE, **settings}
        fit = set_here.pop("fit", None)
        if fit is not None and fit["kind"] != earlier["fit"]["kind"]:
            earlier = {k: v for k, v in earlier.items() if k not in ("reference", "granularity")}
            earlier["fit"] = fit
        elif fit is not None:
            earlier["fit"] = {**earlier["fit"], **fit}
        return ClusterSettings.model_validate({**earlier, **set_here})
