"""A training image with its regions: what every source of examples yields."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.types import Bool, Pixels

GREY = (124, 116, 104)
"""RGB of padding: SAM's pixel mean, which is 0 after normalisation."""

UNKNOWN = -1
"""Kind of a region whose class is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A region of an image that a click may refer to.

    Attributes:
        mask: (h, w) bool. Regions may overlap: a part lies inside its object.
        kind: class of the object, shared by all images of a run; or `UNKNOWN`.
    """

    mask: Bool
    kind: int = UNKNOWN


@dataclass(frozen=True, slots=True, eq=False)
class TrainingImage:
    """Pixels and their regions.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        regions: in no particular order.
        features: (256, gh, gw) float16, a teacher's features for these pixels, one vector per
            8 x 8 px from the top left corner; None without a teacher.
    """

    pixels: Pixels
    regions: tuple[Region, ...]
    features: NDArray[np.float16] | None = None
