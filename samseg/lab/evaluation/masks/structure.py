"""Separation of categories by the embeddings of true segments.

The masks are the ground truth, so the scores depend on a model's features only, not on its masks.
Embeddings are prepared as for clustering in a night: `coverage` pooling, centred, unit length.
"""

from collections.abc import Sequence

import numpy as np

from samseg.clustering import DBSCAN, KMeans
from samseg.clustering.transform import Transform
from samseg.lab.evaluation.neighbours import neighbour_hits
from samseg.spec import Spec
from samseg.types import Float32

MIN_SEGMENTS = 8
"""Categories with fewer segments are excluded."""

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
            neighbour_accuracy=float(neighbour_hits(points, codes, groups).mean()),
            dbscan_ami=scores[eps],
            dbscan_eps=eps,
        )
