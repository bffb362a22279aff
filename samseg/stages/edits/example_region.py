"""The region of a class by example: a direction, and a radius around it.

The direction is the mean of the accepted masks, less a part of the mean of the rejected ones (as in
Rocchio, "Relevance feedback in information retrieval", 1971): so masks like those are farther off.

The radius is a mean of two distances:

- The spread of the accepted masks: how far each lies from the mean of the others, on average.
  It says little for few masks, nothing for one, and counts once per mask but the first.
- The scale of the codebook: the median radius of its classes. It counts as much as two masks, so
  that one example finds masks as unlike it as members of a usual class are, and many examples speak
  for themselves.

People accept what a search lists first, which is more alike than the rest; so the radius is not
much less than the codebook's scale, however alike the accepted masks are. Rejected masks turn the
direction away from the mean of the accepted ones, by a distance that the radius makes up for.

The weights were chosen on labelled photos, as was that a mask inside is a member whatever class of
the codebook it has: `samseg eval examples` measures them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.clustering.codebook import Codebook
from samseg.clustering.transform import Transform, unit
from samseg.types import Bool, Float32

REJECTED_WEIGHT = 0.25
"""Of the mean of the rejected masks, beside that of the accepted ones."""
_SCALE_WEIGHT = 2
"""Of the codebook's scale, in accepted masks."""
_LEAST = 0.9
"""Of the codebook's scale, as a radius."""
_ROUNDING = 1e-6
"""Distance of equal directions that float32 unit vectors may show."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassRegion:
    """Points within a radius of a direction.

    Attributes:
        direction: (d,) float64, unit length, transformed.
        radius: cosine distance.
    """

    direction: NDArray[np.float64]
    radius: float

    def distances(self, points: Float32) -> NDArray[np.float64]:
        """Return the cosine distance of (n, d) unit points to the direction, (n,) float64."""
        return np.maximum(1 - points.astype(np.float64) @ self.direction, 0)

    def takes(self, points: Float32) -> Bool:
        """Return which of (n, d) unit points are inside, (n,) bool."""
        inside: Bool = self.distances(points) <= self.radius
        return inside


def region_of(codebook: Codebook, accepted: Float32, rejected: Float32) -> ClassRegion | None:
    """Return the region of a class by example under a codebook.

    Args:
        codebook: gives the transform and the scale.
        accepted: (n, d) float32, raw vectors.
        rejected: (m, d) float32, raw vectors.

    Returns:
        None if the accepted vectors have no direction.
    """
    direction = example_direction(codebook.transform, accepted, rejected)
    if direction is None:
        return None
    inner = _points(codebook.transform, accepted)
    scale = float(np.median([c.radius for c in codebook.active])) if codebook.active else 0.0
    spread = _spread(inner)
    radius = (_SCALE_WEIGHT * scale + spread) / (_SCALE_WEIGHT + len(inner) - 1)
    turned = 1 - float(unit(inner.mean(axis=0)[None])[0][0] @ direction)
    return ClassRegion(direction, max(radius, _LEAST * scale) + turned + _ROUNDING)


def example_direction(
    transform: Transform, accepted: Float32, rejected: Float32
) -> NDArray[np.float64] | None:
    """Return the direction of examples, (d,) float64, unit length, transformed.

    Args:
        transform: from raw vectors to points.
        accepted: (n, d) float32, raw vectors.
        rejected: (m, d) float32, raw vectors.

    Returns:
        None if there is none.
    """
    inner, outer = _points(transform, accepted), _points(transform, rejected)
    if not len(inner):
        return None
    direction, directed = unit((inner.mean(axis=0) - _less(outer))[None])
    return direction[0].astype(np.float64) if directed[0] else None


def _points(transform: Transform, vectors: Float32) -> NDArray[np.float64]:
    """Return the transformed vectors that have a direction."""
    if not len(vectors):
        return np.zeros((0, len(transform.mean)))
    points, valid = transform.apply(vectors)
    return points[valid].astype(np.float64)


def _less(rejected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what rejected points take from the mean of the accepted ones, (d,) float64."""
    if not len(rejected):
        return np.zeros(rejected.shape[1])
    weighted: NDArray[np.float64] = REJECTED_WEIGHT * rejected.mean(axis=0)
    return weighted


def _spread(points: NDArray[np.float64]) -> float:
    """Return n - 1 times the mean distance of n points to the direction of the others."""
    count = len(points)
    if count == 1:
        return 0.0
    others, _ = unit(points.sum(axis=0) - points)
    cosine = np.einsum("ij,ij->i", points, others.astype(np.float64))
    return float((count - 1) * np.mean(1 - cosine))
