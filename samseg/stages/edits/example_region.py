"""The region of a class by example: the mean of what was accepted, and a radius.

Three things bound the radius:

- The spread of the accepted masks: how far each lies from the mean of the others, which is how the
  radius of a class that was found is measured. It says little for few masks, nothing for one.
- The scale of the codebook: the median radius of its classes. It stands for one accepted mask
  beside the others (`radius = (typical + (n - 1) * spread) / n`), so that one example finds masks
  as unlike it as members of a usual class are, and many examples speak for themselves.
- The rejected masks: none is inside, and where all accepted ones are nearer than the nearest
  rejected one, the border is halfway between the two.

Within the radius, a mask that is nearer to the prototype of its own class stays there.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.clustering.codebook import Codebook
from samseg.clustering.transform import unit
from samseg.types import Float32

_ROUNDING = 1e-6
"""Distance of equal directions that float32 unit vectors may show."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassRegion:
    """Points within a radius of a direction.

    Attributes:
        mean: (d,) float64, unit length, transformed.
        radius: cosine distance.
    """

    mean: NDArray[np.float64]
    radius: float

    def distances(self, points: Float32) -> NDArray[np.float64]:
        """Return the cosine distance of (n, d) unit points to the mean, (n,) float64."""
        return np.maximum(1 - points.astype(np.float64) @ self.mean, 0)


def region_of(codebook: Codebook, accepted: Float32, rejected: Float32) -> ClassRegion | None:
    """Return the region of a class by example under a codebook.

    Args:
        codebook: gives the transform and the scale.
        accepted: (n, d) float32, raw vectors.
        rejected: (m, d) float32, raw vectors.

    Returns:
        None if no accepted vector has a direction.
    """
    if not len(accepted):
        return None
    points, valid = codebook.transform.apply(accepted)
    inner = points[valid].astype(np.float64)
    mean, directed = unit(inner.sum(axis=0, keepdims=True))
    if not directed[0]:
        return None
    typical = float(np.median([c.radius for c in codebook.active])) if codebook.active else 0.0
    region = ClassRegion(mean[0].astype(np.float64), _radius(inner, typical))
    if not len(rejected):
        return region
    others, known = codebook.transform.apply(rejected)
    if not known.any():
        return region
    outside = float(region.distances(others[known]).min())
    inside = float(region.distances(points[valid]).max())
    border = (inside + outside) / 2 if inside < outside else outside - _ROUNDING
    return ClassRegion(region.mean, min(region.radius, border))


def _radius(points: NDArray[np.float64], typical: float) -> float:
    """Return the radius that the accepted points and the codebook's scale give."""
    count = len(points)
    if count == 1:
        return typical + _ROUNDING
    others = points.sum(axis=0) - points
    length = np.linalg.norm(others, axis=1)
    cosine = np.einsum("ij,ij->i", points, others) / np.where(length > 0, length, 1)
    spread = float(np.max(1 - cosine))
    return (typical + (count - 1) * spread) / count + _ROUNDING
