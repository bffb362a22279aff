"""What is compared: rows of embeddings of the same masks, each with its fit.

Classes are found and assigned by the code that nights use: a sample, a codebook, assignment.
"""

from dataclasses import dataclass

import numpy as np
from pydantic import field_validator

from samseg.clustering import Clustering, KMeans, Linkage, picture
from samseg.clustering.build import build
from samseg.clustering.codebook import Codebook
from samseg.clustering.found import find
from samseg.clustering.levels import LeftOut, fitted
from samseg.clustering.sample import FitSample
from samseg.clustering.settings import ClusterSettings
from samseg.features import EfficientNetLite0Embedding, NamedEmbedding, SamEmbedding
from samseg.lab.evaluation.classes.colour_box import standardised
from samseg.lab.evaluation.classes.labelled_masks import LabelledMasks
from samseg.pooling import MaskMean
from samseg.spec import Spec
from samseg.types import NOISE, Float32, Int32, Int64, sample_rank_of

SEED = "seed recipe"
"""Name of the row with the settings of the notebook that samseg started from."""

COLOUR_BOX = "colour and box"

SEED_EMBEDDING = SamEmbedding(name="sam_mask_mean", pooling=MaskMean())
SEED_CLUSTERS = ClusterSettings(fit=picture.SEED, center=False)
"""As in `configs/seed_notebook.yaml`."""


class Compared(Spec):
    """Embeddings in addition to `sam` and the seed's, and the fit of all rows but the seed's.

    Attributes:
        embeddings: the default and those asked for.
        fit: how classes are found.
    """

    embeddings: tuple[NamedEmbedding, ...] = (EfficientNetLite0Embedding(),)
    fit: Clustering = Linkage()

    @field_validator("embeddings")
    @classmethod
    def _with_the_default(cls, given: tuple[NamedEmbedding, ...]) -> tuple[NamedEmbedding, ...]:
        first = (EfficientNetLite0Embedding(),)
        found = first + tuple(e for e in given if e not in first)
        names = [SEED_EMBEDDING.name, *(e.name for e in found)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two embeddings are named {twice[0]!r}; give each its own `name`")
        return found

    @property
    def clusters(self) -> ClusterSettings:
        """Settings of the fit."""
        return ClusterSettings(fit=self.fit)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One embedding of n masks with its fit.

    Attributes:
        name: of the row.
        clusters: settings of the fit.
        vectors: (n, d) float32, raw; zeros for a mask without an embedding.
        class_ids: (n,) int32, classes that are given, as in an output folder; None to fit them.
    """

    name: str
    clusters: ClusterSettings
    vectors: Float32
    class_ids: Int32 | None = None

    def fit(self, masks: LabelledMasks, rows: Int64, parent: Codebook | None = None) -> Codebook:
        """Fit a codebook to the masks at `rows`, (m,) int64; see `fit_codebook`."""
        return fit_codebook(masks, rows, self.vectors, self.clusters, parent)

    def of_true_k(self, masks: LabelledMasks) -> Int32:
        """Return the classes of k-means with as many classes as there are categories."""
        means = KMeans(classes=len(masks.categories))
        clusters = ClusterSettings(fit=means, center=self.clusters.center)
        codebook = fit_codebook(masks, np.arange(len(masks)), self.vectors, clusters)
        return codebook.assign(self.vectors).class_ids


def compared_rows(
    vectors: dict[str, Float32], numbers: Float32 | None, compared: Compared
) -> tuple[Row, ...]:
    """Return the rows to compare: the seed's recipe and the baseline first, then embeddings.

    Args:
        vectors: embeddings by name; the one named `SEED` is clustered by its settings.
        numbers: (n, 13) float32 of `colour_box`, or None without pixels.
        compared: the fit.
    """
    rows = []
    if SEED in vectors:
        rows.append(Row(SEED, SEED_CLUSTERS, vectors[SEED]))
    if numbers is not None:
        rows.append(Row(COLOUR_BOX, compared.clusters, standardised(numbers)))
    rows += [Row(n, compared.clusters, found) for n, found in vectors.items() if n != SEED]
    return tuple(rows)


def fit_codebook(
    masks: LabelledMasks,
    rows: Int64,
    vectors: Float32,
    clusters: ClusterSettings,
    parent: Codebook | None = None,
) -> Codebook:
    """Fit classes to the masks at `rows`, as the cluster stage does to those of a lake.

    Args:
        masks: n masks.
        rows: (m,) int64.
        vectors: (n, d) float32, raw.
        clusters: settings of the fit.
        parent: whose class ids are carried over, in a refit.
    """
    earlier = None if parent is None else parent.assign(vectors).class_ids
    by_rank = sorted(rows.tolist(), key=lambda row: sample_rank_of(masks.mask_ids[row]))

    def sample_of(ranked: list[int]) -> FitSample:
        chosen = sorted(ranked[: clusters.reference], key=lambda row: masks.mask_ids[row])
        return FitSample(
            [masks.mask_ids[row] for row in chosen],
            [str(masks.photos[row]) for row in chosen],
            vectors[chosen],
            np.full(len(chosen), NOISE, np.int32) if earlier is None else earlier[chosen],
        )

    def resample(left_out: LeftOut) -> tuple[FitSample, int]:
        ranked = [row for row, out in zip(by_rank, left_out(vectors[by_rank]), strict=True) if out]
        return sample_of(ranked), len(ranked)

    whole = len(rows) <= clusters.reference
    found = fitted(find(sample_of(by_rank), clusters, len(rows), whole), resample)
    version = 1 if parent is None else parent.version + 1
    return build(found, clusters, parent, version, "", {"masks": len(rows)})
