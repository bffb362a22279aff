"""Separation of categories by the embeddings of true segments.

The masks are the ground truth, so the scores depend on a model's features only, not on its masks.
Embeddings are prepared as for clustering in a night: `coverage` pooling, centred, unit length.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samseg.clustering import DBSCAN, KMeans
from samseg.clustering.transform import Transform
from samseg.spec import Spec
from samseg.types import Float32, Int64

MIN_SEGMENTS = 8
"""Categories with fewer segments are excluded."""

NEIGHBOURS = 5
RADII = (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Cosine distances that are tried as DBSCAN's radius."""


class Structure(Spec):
    """Scores of the separation of categories.

    AMI is adjusted mutual information (Vinh, Epps, Bailey, 2010): 0 for chance, 1 for perfect.

    Attributes:
        segments: number of true segments of these categories.
        categories: number of categories with at least 8 segments.
        kmeans_ami: AMI of k-means with as many classes as categories.
        neighbour_accuracy: fraction of the segments whose category is the majority among the 5
            nearest segments of other photos.
        dbscan_ami: highest AMI of DBSCAN over the radii above; noise counts as one class.
        dbscan_eps: the radius of that AMI, a cosine distance.
    """

    segments: int
    categories: int
    kmeans_ami: float
    neighbour_accuracy: float
    dbscan_ami: float
    dbscan_eps: float

    @classmethod
    def of(
        cls,
        embeddings: Float32,
        categories: Sequence[int | str],
        photos: Sequence[str],
    ) -> "Structure | None":
        """Compute the scores; None with fewer than two such categories, or a single photo.

        Args:
            embeddings: (n, 256) float32, raw, of true segments.
            categories: n categories of the segments.
            photos: n photos that contain the segments.
        """
        from sklearn.metrics import adjusted_mutual_info_score as ami

        names, groups = np.array(categories, dtype=str), np.array(photos, dtype=str)
        _, codes, counts = np.unique(names, return_inverse=True, return_counts=True)
        kept = counts[codes] >= MIN_SEGMENTS
        (known, codes), groups = np.unique(names[kept], return_inverse=True), groups[kept]
        if len(known) < 2 or len(np.unique(groups)) < 2:
            return None
        points, _ = Transform.fit(embeddings[kept]).apply(embeddings[kept])
        scores = {eps: float(ami(codes, DBSCAN(eps=eps).fit(points).labels)) for eps in RADII}
        eps = max(scores, key=lambda radius: scores[radius])
        return cls(
            segments=len(codes),
            categories=len(known),
            kmeans_ami=float(ami(codes, KMeans(classes=len(known)).fit(points).labels)),
            neighbour_accuracy=neighbour_accuracy(points, codes, groups),
            dbscan_ami=scores[eps],
            dbscan_eps=eps,
        )


def neighbour_accuracy(points: Float32, codes: NDArray[np.integer], groups: NDArray[Any]) -> float:
    """Return how often the majority code of the 5 nearest points is a point's own code.

    Neighbours are points of other groups, nearest by cosine. Ties go to the nearer neighbours.

    Args:
        points: (n, d) float32 unit rows.
        codes: (n,) category codes, numbered from 0.
        groups: (n,) group of each point; at least two different ones.
    """
    weights = 1 - np.arange(NEIGHBOURS) / NEIGHBOURS**3  # differ by too little to change a majority
    correct = 0
    for group in np.unique(groups):
        own = groups == group
        similarity = points[own] @ points[~own].T
        nearest: Int64 = np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]
        near = codes[~own][nearest]
        votes = (near[..., None] == np.arange(codes.max() + 1)) * weights[: near.shape[1], None]
        correct += int((votes.sum(axis=1).argmax(axis=1) == codes[own]).sum())
    return correct / len(points)
