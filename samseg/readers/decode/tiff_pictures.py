"""Strips and tiles of a TIFF that are whole files of another format: WebP, JPEG 2000, PNG."""

import io

import numpy as np
from PIL import Image as Pillow

from samseg.readers.decode.headers import claimed_size
from samseg.types import Pixels

_FORMATS = ("WEBP", "JPEG2000", "PNG")
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def samples_of_picture(segment: bytes, channels: int, width: int, heights: set[int]) -> Pixels:
    """Decode a strip or tile; its channels are taken for colours and alpha, whatever they mean.

    Args:
        segment: the whole file.
        channels: 1 to 4. A picture without the alpha that is wanted is opaque.
        width: its width.
        heights: heights that it may have.

    Returns:
        (height, width * channels) uint8.

    Raises:
        ImageError: it is a JPEG 2000 of too many tiles.
        ValueError, OSError: it is damaged, or has another size.
    """
    sizes = {(width, height) for height in heights}
    claimed = claimed_size(segment)  # before Pillow allocates it
    if claimed is None or claimed in sizes:
        with Pillow.open(io.BytesIO(segment), formats=_FORMATS) as image:
            if image.size in sizes:
                return np.asarray(image.convert(_MODES[channels])).reshape(image.height, -1)
            claimed = image.size
    raise ValueError(
        f"a strip or tile of {width} x {max(heights)} px is {claimed[0]} x {claimed[1]}"
    )
