"""Nearest neighbours across photos: how well embeddings separate categories, without clustering."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from samseg.types import Bool, Float32, Int64

NEIGHBOURS = 5


def neighbour_hits(points: Float32, codes: NDArray[np.integer], groups: NDArray[Any]) -> Bool:
    """Return whether the majority code of the 5 nearest points is a point's own code.

    Neighbours are points of other groups, nearest by cosine. Ties go to the nearer neighbours.

    Args:
        points: (n, d) float32 unit rows.
        codes: (n,) category codes, numbered from 0.
        groups: (n,) group of each point; at least two different ones.

    Returns:
        (n,) bool.
    """
    weights = 1 - np.arange(NEIGHBOURS) / NEIGHBOURS**3  # differ by too little to change a majority
    hits = np.zeros(len(points), np.bool_)
    for group in np.unique(groups):
        own = groups == group
        similarity = points[own] @ points[~own].T
        nearest: Int64 = np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]
        near = codes[~own][nearest]
        votes = (near[..., None] == np.arange(codes.max() + 1)) * weights[: near.shape[1], None]
        hits[own] = votes.sum(axis=1).argmax(axis=1) == codes[own]
    return hits
