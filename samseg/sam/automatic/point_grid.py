"""The crops of an image, and the grid of prompt points in each.

The geometry is that of `segment_anything.utils.amg` (`generate_crop_boxes`,
`build_all_layer_point_grids`), so points and crops are identical to the reference's.
"""

from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np
from numpy.typing import NDArray

from samseg.sam.settings import MaskSettings

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """One crop of the image and its prompt points.

    Attributes:
        box: x0, y0, x1, y1 in px of the image, half open.
        points: (n, 2) float64, xy, px of the crop.
        first_prompt: prompt id of its first point; ids are consecutive over the crops of an image.
    """

    box: tuple[int, int, int, int]
    points: Float64
    first_prompt: int


def crops(size: tuple[int, int], settings: MaskSettings) -> list[Crop]:
    """Return the whole image, then the crops layer by layer.

    Args:
        size: (h, w) of the image in px.
        settings: number of layers, overlap and points.
    """
    found: list[Crop] = []
    first_prompt = 0
    for box, layer in crop_boxes(size, settings.crop_n_layers, settings.crop_overlap_ratio):
        x0, y0, x1, y1 = box
        if x0 >= x1 or y0 >= y1:
            continue  # the image is smaller than its crops; the reference fails here
        scale = np.array([[x1 - x0, y1 - y0]])
        points = point_grid(settings, layer) * scale
        found.append(Crop(box, points, first_prompt))
        first_prompt += len(points)
    return found


def crop_boxes(
    size: tuple[int, int], layers: int, overlap_ratio: float
) -> list[tuple[tuple[int, int, int, int], int]]:
    """Return (x0, y0, x1, y1) and layer of each crop; layer 0 is the whole image."""
    h, w = size
    found = [((0, 0, w, h), 0)]
    for layer in range(1, layers + 1):
        per_side = 2**layer
        overlap = int(overlap_ratio * min(h, w) * (2 / per_side))
        crop_w, crop_h = (ceil((overlap * (per_side - 1) + n) / per_side) for n in (w, h))
        for i, j in product(range(per_side), range(per_side)):
            x0, y0 = (crop_w - overlap) * i, (crop_h - overlap) * j
            found.append(((x0, y0, min(x0 + crop_w, w), min(y0 + crop_h, h)), layer))
    return found


def point_grid(settings: MaskSettings, layer: int) -> Float64:
    """Return the (n, 2) xy points of a layer in [0, 1]: explicit points or a regular grid."""
    if settings.point_grids is not None:
        return np.asarray(settings.point_grids[layer], dtype=np.float64).reshape(-1, 2)
    per_side = settings.points_per_side or 0
    n = int(per_side / settings.crop_n_points_downscale_factor**layer)
    along = np.linspace(1 / (2 * n), 1 - 1 / (2 * n), n)
    x, y = np.meshgrid(along, along)
    return np.stack([x, y], axis=-1).reshape(-1, 2)
