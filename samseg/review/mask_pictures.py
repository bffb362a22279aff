"""The pictures of the page: a crop around a mask, a whole photo, and its masks to lay over it."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from xml.sax.saxutils import escape

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg.edits.resolved import ResolvedClasses
from samseg.errors import ImageError, SamsegError, one_line
from samseg.masks.painting import dense_at
from samseg.masks.palette import color_of
from samseg.output import Output
from samseg.pictures import LakePhotos
from samseg.review.catalogue import Catalogue
from samseg.review.picture_cache import PictureCache
from samseg.stages.edits.outlines import outlines_of
from samseg.types import NOISE, Pixels
from samseg.views import crops, overlay
from samseg.views.report import plain

CROP, PHOTO = 192, 1280
"""Sides of a crop, and the longest side of a whole photo, px."""
_SHARDS, _PHOTOS, _OUTLINES = 24, 3, 1000
"""Shards whose rows are in memory, decoded photos, and outlines of people."""
_MASKS = ["mask_id", "image_id", "mask_index", "area", "predicted_iou", "rle"]
_IMAGES = ["image_id", "key", "uri", "sha256", "width", "height"]
_SHADE, _OTHERS, _WHITE = 120, 170, (255, 255, 255, 255)
_LINE, _LINES = 26, 7
"""Characters of a line of a placeholder, and lines."""


class MaskPictures:
    """Draws pictures of the masks of a catalogue."""

    def __init__(self, output: Output, catalogue: Catalogue, cache: PictureCache):
        """Read how the photos are decoded.

        Args:
            output: the output folder.
            catalogue: its masks.
            cache: where crops and photos are kept.
        """
        self._output, self._catalogue, self._cache = output, catalogue, cache
        self._correction_of: Mapping[str, int] = {}
        self._lake = LakePhotos(output)
        self._masks = lru_cache(_SHARDS)(self._masks_of_shard)
        self._images = lru_cache(_SHARDS)(self._images_of_shard)
        self._outline = lru_cache(_OUTLINES)(self._stored_outline)
        self._photos = lru_cache(_PHOTOS)(self._decoded)

    def draw_outlines_of(self, found: ResolvedClasses) -> None:
        """Draw masks from now on as people drew them, where they did."""
        self._correction_of = found.drawn

    def crop(self, row: int, class_id: int) -> bytes:
        """Return the crop around a mask, outlined in the colour of a class, as WebP.

        Raises:
            ImageError: the photo cannot be read.
        """
        mask_id = self._catalogue.mask_id(row)
        drawn_by = self._correction_of.get(mask_id, "sam")
        name = f"{self._catalogue.shard_of(row)}.{mask_id}.{drawn_by}.{class_id}.webp"
        known = self._cache.get(name)
        if known is None:
            mask = self.mask(row)
            pixels = self._photos(mask["image_id"])
            drawn = crops.exemplar(pixels, mask["rle"], color_of(class_id), CROP)
            known = _webp(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), 76)
            self._cache.put(name, known)
        return known

    def photo(self, image_id: str) -> bytes:
        """Return a whole photo as WebP.

        Raises:
            ImageError: it cannot be read.
        """
        name = f"{self._shard(image_id)}.{image_id}.webp"
        known = self._cache.get(name)
        if known is None:
            small = crops.shrunk(self._photos(image_id), PHOTO)
            known = _webp(cv2.cvtColor(small, cv2.COLOR_RGB2BGR), 80)
            self._cache.put(name, known)
        return known

    def layer(self, row: int, class_ids: dict[int, int]) -> bytes:
        """Return the masks of a mask's photo on a transparent ground, with that mask in front.

        Args:
            row: the mask; what is around it is darker.
            class_ids: row -> class of all masks of the photo.
        """
        masks = {r: self.mask(r) for r in class_ids}
        size = self.size_of(masks[row]["image_id"])
        others = [r for r in masks if r != row]
        drawn = overlay.layer(
            size,
            [masks[r]["rle"] for r in others],
            [masks[r]["area"] for r in others],
            [max(class_ids[r], NOISE) for r in others],
            alpha=0.0,
        )
        own = dense_at(masks[row]["rle"], size)
        shade = drawn[..., 3] == 0
        drawn[..., 3] = np.minimum(drawn[..., 3], _OTHERS)
        drawn[shade & ~own] = (0, 0, 0, _SHADE)
        drawn[own] = 0
        found, _ = cv2.findContours(own.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        thick = max(2, round(max(size) / 300))
        for color, width in (
            (_WHITE, 3 * thick),
            ((*color_of(max(class_ids[row], NOISE)), 255), thick),
        ):
            cv2.drawContours(drawn, found, -1, color, width, cv2.LINE_AA)
        return _webp(cv2.cvtColor(drawn, cv2.COLOR_RGBA2BGRA), 101)

    def size_of(self, image_id: str) -> tuple[int, int]:
        """Return (h, w) of a whole photo as it is shown, px."""
        row = self.image(image_id)
        h, w = row["height"], row["width"]
        scale = min(1.0, PHOTO / max(h, w))
        return max(1, round(h * scale)), max(1, round(w * scale))

    def mask(self, row: int) -> dict[str, Any]:
        """Return the row of `masks` of a mask, without its embedding, with a person's outline."""
        mask_id = self._catalogue.mask_id(row)
        found = _row(self._masks(self._catalogue.shard_of(row)), "mask_id", mask_id)
        correction = self._correction_of.get(mask_id)
        return found if correction is None else found | self._outline(mask_id, correction)

    def image(self, image_id: str) -> dict[str, Any]:
        """Return the row of `images` of an image that has masks here."""
        return _row(self._images(self._shard(image_id)), "image_id", image_id)

    def _shard(self, image_id: str) -> str:
        return self._catalogue.shard_of(self._catalogue.image_rows(image_id)[0])

    def _masks_of_shard(self, shard: str) -> pa.Table:
        return self._output.read(self._output.masks_key(shard), _MASKS)

    def _images_of_shard(self, shard: str) -> pa.Table:
        return self._output.read(self._output.images_key(shard), _IMAGES)

    def _stored_outline(self, mask_id: str, correction: int) -> dict[str, Any]:
        return outlines_of(self._output, {mask_id: correction}).get(mask_id, {})

    def _decoded(self, image_id: str) -> Pixels:
        try:
            return self._lake.read(self.image(image_id))
        except SamsegError as e:
            raise e if isinstance(e, ImageError) else ImageError("unreadable", one_line(e)) from e


def placeholder(reason: str) -> bytes:
    """Return a picture that says why a photo cannot be shown, as SVG."""
    words = plain(f"cannot be shown: {reason}")
    lines = [words[at : at + _LINE] for at in range(0, len(words), _LINE)][:_LINES]
    rows = "".join(
        f'<text x="12" y="{28 + 22 * n}">{escape(line)}</text>' for n, line in enumerate(lines)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 192 192" width="192" height="192">'
        '<rect width="192" height="192" fill="#8a8c94"/>'
        f'<g font-family="sans-serif" font-size="12" fill="#fff">{rows}</g></svg>'
    ).encode()


def _row(table: pa.Table, column: str, value: str) -> dict[str, Any]:
    at = pc.index(table[column], value).as_py()
    if at < 0:  # forgotten since the page was started
        raise ImageError("unreadable", f"the tables have no {value} any more")
    row: dict[str, Any] = table.slice(at, 1).to_pylist()[0]
    return row


def _webp(pixels: Any, quality: int) -> bytes:
    _, encoded = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return np.asarray(encoded).tobytes()
