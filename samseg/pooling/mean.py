"""Weighted mean of features, the last step of every pooling."""

import numpy as np

from samseg.types import Features, Float32, Pooled


def weighted_mean(features: Features, weights: Float32, coverage: Float32) -> Pooled:
    """Average the features of the patches, in one matrix product for all masks.

    Args:
        features: c channels on a grid of (rows, columns) patches.
        weights: (n, rows, columns) float32, non-negative; a mask whose weights are all 0 is
            `empty`.
        coverage: (n, rows, columns) float32, fraction of each patch that the mask covers.
    """
    flat = np.asarray(features.map, dtype=np.float32).reshape(len(features.map), -1)
    total = weights.sum(axis=(1, 2))
    empty = total <= 0
    normalised = (
        weights.reshape(len(weights), flat.shape[1])
        / np.where(empty, np.float32(1), total)[:, None]
    )
    return Pooled(
        embeddings=np.asarray(normalised @ flat.T, dtype=np.float32),
        coverage=coverage.sum(axis=(1, 2)),
        empty=empty,
    )
