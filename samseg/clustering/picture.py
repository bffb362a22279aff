"""Classes of the masks of one picture, by the recipe that samseg started from."""

import numpy as np
from numpy.typing import ArrayLike

from samseg.clustering import DBSCAN, Clustering
from samseg.clustering.transform import Transform
from samseg.errors import ConfigError
from samseg.types import NOISE, Int32

SEED = DBSCAN(eps=0.06, min_samples=8)
"""DBSCAN as in the notebook "Meta-AI SAM: Automatic Semantic Segmentation" (Y. Yatnalkar, 2023)."""


def cluster(embeddings: ArrayLike, fit: Clustering = SEED, center: bool = False) -> Int32:
    """Group the masks of one picture into classes.

    The defaults are the notebook's: raw embeddings pooled by `mask_mean`, DBSCAN by cosine
    distance. Classes of a lake, which keep their ids, are those of `samseg nightly`.

    Args:
        embeddings: (n, d), one per mask, for example from `samseg.pool`.
        fit: the clustering strategy.
        center: subtract the mean embedding first.

    Returns:
        (n,) int32 class ids, numbered from the largest class on; -1 for a mask in no class.

    Raises:
        ConfigError: `embeddings` is not (n, d).
    """
    vectors = np.asarray(embeddings, dtype=np.float32)
    if vectors.ndim != 2:
        raise ConfigError(
            f"embeddings must be (n, d), one row per mask, got {vectors.shape}; "
            "use samseg.pool(features, masks)"
        )
    if not len(vectors):
        return np.zeros(0, np.int32)
    points, _ = Transform.fit(vectors, center).apply(vectors)
    labels = fit.fit(points).labels
    sizes = np.bincount(labels[labels != NOISE])
    rank = np.argsort(np.argsort(-sizes, kind="stable"))
    return np.append(rank, NOISE)[labels].astype(np.int32)
