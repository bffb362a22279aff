"""The photo of an image, and the cutout of a mask, from rows of the tables."""

import hashlib
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samseg.errors import ConfigError, ImageError
from samseg.lake import address_now
from samseg.masks.painting import dense
from samseg.output import Output
from samseg.readers import fetch
from samseg.readers.decode import DecodePolicy
from samseg.types import Pixels


class LakePhotos:
    """The photos of an output folder, read again and decoded as they were for labelling."""

    def __init__(self, output: Output):
        """Read where the lake is now, and the folder's decoding policy."""
        self._address = address_now(output)
        self._policy = DecodePolicy(**(output.recipe() or {}).get("decode", {}))

    def read(self, row: Mapping[str, Any]) -> Pixels:
        """Read an image.

        Args:
            row: `key`, `uri`, `sha256`, `width` and `height` of the image.

        Returns:
            (h, w, 3) uint8 RGB, upright.

        Raises:
            ImageError: it can no longer be read or decoded, or it has another size now.
        """
        payload = fetch(self._address(row["uri"]))
        pixels = self._policy.decode(payload).pixels
        size, labelled = pixels.shape[:2], (row["height"], row["width"])
        if None not in labelled and size != labelled:
            raise ImageError(
                "unreadable",
                f"{row['key']} is {size[1]} x {size[0]} px, but {labelled[1]} x {labelled[0]} px "
                "were labelled: the file was replaced, and its masks do not fit it",
            )
        if row["sha256"] not in (None, hashlib.sha256(payload).hexdigest()):
            warnings.warn(f"{row['key']} has changed since it was labelled", stacklevel=3)
        return pixels


def photo(output: Output, row: Mapping[str, Any]) -> Pixels:
    """Read one image; see `LakePhotos.read`."""
    return LakePhotos(output).read(row)


def cutout(pixels: Pixels, rle: dict[str, Any], margin: float) -> NDArray[np.uint8]:
    """Cut a mask out of its photo.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        rle: COCO compressed RLE of the same size, not empty.
        margin: added on each side of the mask's box, as a fraction of its longer side.

    Returns:
        (ch, cw, 4) uint8 RGBA; alpha is 255 inside the mask and 0 outside.
    """
    if not 0 <= margin < np.inf:
        raise ConfigError(f"margin: want a fraction of at least 0, got {margin}")
    mask = dense(rle)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    extra = round(margin * max(np.ptp(rows), np.ptp(columns)) + margin)
    window = tuple(slice(max(0, i[0] - extra), i[-1] + 1 + extra) for i in (rows, columns))
    alpha = mask[window].astype(np.uint8) * 255
    return np.dstack([pixels[window], alpha])
