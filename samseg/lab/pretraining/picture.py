"""A picture and what is truly in it: the common currency of all sources of training examples."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.types import Bool, Pixels

GREY = (124, 116, 104)
"""RGB of padding: SAM's pixel mean, which is 0 after normalisation."""

UNKNOWN = -1
"""The kind of a region of which nobody knows what it shows."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A part of a picture that somebody might mean by a click.

    Attributes:
        mask: (h, w) bool. Regions may overlap: a part lies in its whole.
        kind: regions of the same kind show the same sort of thing, in any picture; or `UNKNOWN`.
    """

    mask: Bool
    kind: int = UNKNOWN


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPicture:
    """Pixels and their regions.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        regions: in no particular order.
        features: (256, gh, gw) float16, one vector per 8 x 8 px from the top left corner on, that
            a teacher gave for these pixels; None without a teacher.
    """

    pixels: Pixels
    regions: tuple[Region, ...]
    features: NDArray[np.float16] | None = None
