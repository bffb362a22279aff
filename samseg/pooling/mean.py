"""Weighted mean of features, the last step of every pooling."""

import numpy as np

from samseg.pooling.grid import GRID
from samseg.types import Float32, Pooled

CHANNELS = 256


def weighted_mean(features: Float32, weights: Float32, coverage: Float32) -> Pooled:
    """Average the features of the patches, in one matrix product for all masks.

    Args:
        features: (256, 64, 64) float32, SAM's image embedding.
        weights: (n, 64, 64) float32, non-negative; a mask whose weights are all 0 is `empty`.
        coverage: (n, 64, 64) float32, fraction of each patch that the mask covers.

    Raises:
        ValueError: `features` has another shape.
    """
    features = np.asarray(features, dtype=np.float32)
    if features.shape != (CHANNELS, GRID, GRID):
        raise ValueError(
            f"features have shape {features.shape}, wanted ({CHANNELS}, {GRID}, {GRID}): "
            "the image embedding of one image, without a batch axis"
        )
    n = len(weights)
    total = weights.sum(axis=(1, 2))
    empty = total <= 0
    normalised = weights.reshape(n, GRID * GRID) / np.where(empty, np.float32(1), total)[:, None]
    return Pooled(
        embeddings=np.asarray(normalised @ features.reshape(CHANNELS, -1).T, dtype=np.float32),
        coverage=coverage.sum(axis=(1, 2)),
        empty=empty,
    )
