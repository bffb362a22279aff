"""A baseline without any network: thirteen numbers of the colour and the box of a mask.

Embeddings that tell less than this tell nothing of what a mask shows.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from samseg.lab.evaluation.classes.truth import Rle
from samseg.masks.painting import dense
from samseg.types import Float32, Pixels

NUMBERS = 13


def colour_box(pixels: Pixels, rles: Sequence[Rle]) -> Float32:
    """Describe n masks of one photo.

    Mean and standard deviation of L, a and b; centre, width and height of the box, relative to the
    photo; the logarithms of the covered fraction of the photo and of the box's aspect ratio; and
    the covered fraction of the box.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        rles: n COCO compressed RLEs of that size.

    Returns:
        (n, 13) float32; zeros for a mask without pixels.
    """
    from pycocotools import mask as coco

    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    h, w = pixels.shape[:2]
    found = np.zeros((len(rles), NUMBERS), np.float32)
    for row, rle in zip(found, rles, strict=True):
        x, y, box_w, box_h = coco.toBbox(dict(rle)).astype(int).tolist()
        colours = lab[y : y + box_h, x : x + box_w][dense(rle)[y : y + box_h, x : x + box_w]]
        if not len(colours):
            continue
        row[:3], row[3:6] = colours.mean(axis=0), colours.std(axis=0)
        row[6:10] = (x + box_w / 2) / w, (y + box_h / 2) / h, box_w / w, box_h / h
        row[10:12] = np.log(len(colours) / (h * w)), np.log(box_w / box_h)
        row[12] = len(colours) / (box_w * box_h)
    return found


def standardised(numbers: Float32) -> Float32:
    """Scale every column of all masks to mean 0 and standard deviation 1."""
    deviation = numbers.std(axis=0, dtype=np.float64)
    scaled = (numbers - numbers.mean(axis=0, dtype=np.float64)) / np.where(deviation, deviation, 1)
    return scaled.astype(np.float32)
