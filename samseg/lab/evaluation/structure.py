"""Do the embeddings of true segments tell their categories?

The masks are the true ones, so nothing here depends on how well a model segments: only on its
features. Points are what classes are found from in a night: `coverage` pooling, centred, of unit
length.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samseg.clustering import DBSCAN, KMeans
from samseg.clustering.transform import Transform
from samseg.spec import Spec
from samseg.types import Float32, Int64

FEWEST = 8
"""Categories with fewer segments than this do not count."""

NEIGHBOURS = 5
RADII = (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Cosine distances that DBSCAN is tried with."""


class Structure(Spec):
    """How well categories are told.

    AMI is adjusted mutual information (Vinh, Epps, Bailey, 2010): 0 for chance, 1 for perfect.

    Attributes:
        segments: true segments of the categories that count.
        categories: those with at least 8 segments.
        kmeans_ami: of k-means with as many classes as there are categories.
        neighbour_accuracy: fraction of the segments whose category is that of most of the 5
            nearest segments of other photos.
        dbscan_ami: the highest of DBSCAN over the radii above; noise counts as one class.
        dbscan_eps: the radius that gives it, a cosine distance.
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
        """Measure; None with fewer than two categories that count, or a single photo.

        Args:
            embeddings: (n, 256) float32, raw, of true segments.
            categories: n.
            photos: n, where each segment is from.
        """
        from sklearn.metrics import adjusted_mutual_info_score as ami

        names, places = np.array(categories, dtype=str), np.array(photos, dtype=str)
        _, codes, counts = np.unique(names, return_inverse=True, return_counts=True)
        kept = counts[codes] >= FEWEST
        (known, codes), places = np.unique(names[kept], return_inverse=True), places[kept]
        if len(known) < 2 or len(np.unique(places)) < 2:
            return None
        points, _ = Transform.fit(embeddings[kept]).apply(embeddings[kept])
        scores = {eps: float(ami(codes, DBSCAN(eps=eps).fit(points).labels)) for eps in RADII}
        eps = max(scores, key=lambda radius: scores[radius])
        return cls(
            segments=len(codes),
            categories=len(known),
            kmeans_ami=float(ami(codes, KMeans(classes=len(known)).fit(points).labels)),
            neighbour_accuracy=neighbour_accuracy(points, codes, places),
            dbscan_ami=scores[eps],
            dbscan_eps=eps,
        )


def neighbour_accuracy(points: Float32, codes: NDArray[np.integer], places: NDArray[Any]) -> float:
    """Return how often the 5 nearest points of other places vote for a point's own code.

    Args:
        points: (n, d) float32 unit rows; nearest by cosine.
        codes: (n,) what is voted for, numbered from 0. Of a tie the code of nearer voters wins.
        places: (n,) where each point is from; two at least.
    """
    ranks = 1 - np.arange(NEIGHBOURS) / NEIGHBOURS**3  # decide ties, and nothing else
    right = 0
    for place in np.unique(places):
        own = places == place
        similarity = points[own] @ points[~own].T
        nearest: Int64 = np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]
        voters = codes[~own][nearest]
        votes = (voters[..., None] == np.arange(codes.max() + 1)) * ranks[: voters.shape[1], None]
        right += int((votes.sum(axis=1).argmax(axis=1) == codes[own]).sum())
    return right / len(points)
