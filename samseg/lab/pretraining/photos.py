"""Labelled photos as training images, and photographs as textures of generated scenes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow

from samseg.errors import ConfigError
from samseg.lab.labelled import LabelledSet, is_held_out
from samseg.lab.pretraining.training_image import GREY, UNKNOWN, Region, TrainingImage
from samseg.types import Int32, Pixels

_MIN_AREA = 24


@dataclass(frozen=True, slots=True, eq=False)
class _Photo:
    """A labelled photo at the encoder's resolution; maps (h, w) of ids, 0 for background."""

    pixels: Pixels
    maps: tuple[Int32, ...]
    kinds: dict[int, int]


class LabelledPhotos:
    """The photos of one labelled set, without those held out for evaluation."""

    def __init__(
        self, folder: str | Path, longest: int, held_out: float, ground: bool, first_kind: int,
        whole: bool = False,
    ):  # fmt: skip
        """Read the set.

        Args:
            folder: see `samseg.lab.labelled`.
            longest: longer side in px to which photos are resized.
            held_out: share of the photos that is left out; see `samseg.lab.labelled.is_held_out`.
            ground: make the background outside all segments a region too.
            first_kind: kind of the first category; no other set may use the kinds that follow.
            whole: make all segments of a photo together a region too.

        Raises:
            ConfigError: not a labelled set, or every photo is held out.
        """
        labelled = LabelledSet(folder)
        stems = [stem for stem in labelled.stems if not is_held_out(stem, held_out)]
        if not stems:
            raise ConfigError(f"{folder}: held_out {held_out} leaves no photo to train on")
        categories: dict[int | str, int] = {}
        self.photos: list[_Photo] = []
        for stem in stems:
            photo = labelled.read(stem)
            h, w = photo.pixels.shape[:2]
            scale = longest / max(h, w)
            size = max(1, round(w * scale)), max(1, round(h * scale))
            kinds = {
                i: first_kind + categories.setdefault(category, len(categories))
                for i, category in photo.categories.items()
            }
            interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            pixels = cv2.resize(photo.pixels, size, interpolation=interpolation)
            maps = tuple(_nearest(map_, size) for map_ in (photo.instances, *photo.further))
            self.photos.append(_Photo(np.asarray(pixels, np.uint8), maps, kinds))
        self._ground = ground
        self._whole = first_kind + len(categories) if whole else None

    def draw(self, rng: np.random.Generator, side: int) -> TrainingImage:
        """Cut a window of side x side px out of a photo, scaled at random."""
        photo = self.photos[rng.integers(len(self.photos))]
        zoom = float(np.exp(rng.uniform(-0.35, 0.6)))
        cut = round(side / zoom)
        (h, w), corner = photo.maps[0].shape, []
        for length in (h, w):
            corner.append(int(rng.integers(0, max(0, length - cut) + 1)))
        window = tuple(slice(at, at + cut) for at in corner)
        size = tuple(min(side, round(n * zoom)) for n in photo.maps[0][window].shape[::-1])
        pixels = np.full((side, side, 3), GREY, dtype=np.uint8)
        inside = slice(0, size[1]), slice(0, size[0])
        interpolation = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        pixels[inside] = cv2.resize(photo.pixels[window], size, interpolation=interpolation)
        maps = []
        for map_ in photo.maps:
            maps.append(np.full((side, side), UNKNOWN, dtype=np.int32))
            maps[-1][inside] = _nearest(map_[window], size)
        return TrainingImage(_augmented(rng, pixels), self._regions(maps, photo.kinds))

    def uncropped(self) -> list[TrainingImage]:
        """Return the photos without cropping, to cut objects out of them."""
        return [TrainingImage(p.pixels, self._regions(p.maps, p.kinds)) for p in self.photos]

    def _regions(self, maps: Sequence[Int32], kinds: dict[int, int]) -> tuple[Region, ...]:
        regions: list[Region] = []
        for map_ in maps:
            ids, areas = np.unique(map_, return_counts=True)
            regions += [
                Region(map_ == i, kinds.get(int(i), UNKNOWN))
                for i, area in zip(ids, areas, strict=True)
                if area >= _MIN_AREA and (i > 0 or (i == 0 and self._ground))
            ]
        if self._whole is not None and len(regions) > 1:
            regions.append(Region(maps[0] > 0, self._whole))
        return tuple(regions)


def _nearest(map_: Int32, size: tuple[int, ...]) -> Int32:
    """Resize a map of ids to (width, height)."""
    return np.asarray(cv2.resize(map_, size, interpolation=cv2.INTER_NEAREST), dtype=np.int32)


def read_photographs(files: Sequence[Path], longest: int = 900) -> list[Pixels]:
    """Read photographs for textures, shrunk to a longer side of at most `longest` px."""
    photographs = []
    for path in files:
        with Pillow.open(path) as image:
            image.thumbnail((longest, longest))
            photographs.append(np.asarray(image.convert("RGB")))
    return photographs


def _augmented(rng: np.random.Generator, pixels: Pixels) -> Pixels:
    """Vary brightness, contrast and colours; sometimes make the image grey or permute channels."""
    chance = rng.random()
    if chance < 0.06:
        pixels = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    elif chance < 0.14:
        pixels = pixels[..., rng.permutation(3)]
    steps = np.arange(256, dtype=np.float32) / 255
    tables = [
        255 * rng.uniform(0.9, 1.1) * steps ** (gamma * rng.uniform(0.93, 1.07))
        for gamma in [float(np.exp(rng.normal(0, 0.25)))] * 3
    ]
    table = np.clip(np.stack(tables, axis=-1), 0, 255).astype(np.uint8)[None]
    exposed = cv2.LUT(np.ascontiguousarray(pixels), table)
    if rng.random() < 0.25:
        exposed = cv2.GaussianBlur(exposed, (0, 0), float(rng.uniform(0.4, 1.3)))
    return np.asarray(exposed, dtype=np.uint8)
