"""A labelled photo set: pictures and the true segments of each, for measuring and training.

    {set}/images/{stem}.*         the pictures
    {set}/instances/{stem}.png    8 or 16 bit: at each px the id of its segment, 0 for none
    {set}/instances.json          {stem: [{"id": ..., "category": ...}]}; without it no categories
    {set}/meta.json               name, classes {value: name}, ignore_index; all of them optional

Where there is no `instances/`, segments come from `labels/`:

- `labels/{stem}.png` is a map of classes. The segments are the 8-connected components of each
  class that cover more than 0.2 % of the picture; the value `ignore_index` and a class named
  `background` are no segments. The category is the class.
- `labels/{stem}__{k}.png` are the region maps of several annotators (as BSDS500 has them). Each
  region of each annotator is a segment, as it was drawn; 0 is none. There are no categories.

Segments that `instances.json` calls `iscrowd` are left out, as by COCO's own evaluation: they are
many things under one id. Pictures without labels are left out too. Not a lake: sets are local
folders, small enough to list, and trusted.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from samseg.errors import ConfigError
from samseg.types import Bool, Int32, Pixels

SMALLEST_COMPONENT = 0.002
"""Components of a class map that cover no more of the picture than this are no segments."""

_LAYOUT = "wanted {set}/images and {set}/instances or {set}/labels; see samseg/lab/labelled.py"


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPhoto:
    """A picture and its true segments.

    Attributes:
        stem: its name in the set.
        pixels: (h, w, 3) uint8 RGB, upright.
        instances: (h, w) int32, the id of the segment at each px, 0 for none.
        categories: id -> category; empty where the set has none.
        further: more maps like `instances`, of other annotators; ids differ from map to map.
    """

    stem: str
    pixels: Pixels
    instances: Int32
    categories: Mapping[int, int | str]
    further: tuple[Int32, ...] = ()

    def segments(self, above: float = 0.0) -> list[int]:
        """Return the ids of the segments that cover more than `above` of the picture, ascending."""
        ids: list[int] = []
        for map_ in (self.instances, *self.further):
            found, areas = np.unique(map_, return_counts=True)
            ids += found[(found > 0) & (areas > above * map_.size)].tolist()
        return ids

    def mask(self, segment: int) -> Bool:
        """Return one segment as (h, w) bool."""
        return np.logical_or.reduce([map_ == segment for map_ in (self.instances, *self.further)])


class LabelledSet:
    """A labelled photo set in a local folder.

    Attributes:
        folder: where it is.
        name: what `meta.json` calls it, or the folder's name.
        stems: names of the labelled pictures, sorted.
    """

    def __init__(self, folder: str | Path):
        """List the set; pictures are read when they are asked for.

        Raises:
            ConfigError: the folder is not laid out as above.
        """
        self.folder = Path(folder).expanduser()
        images = _files(self.folder / "images")
        self._meta = _json(self.folder / "meta.json")
        self.name = str(self._meta.get("name", self.folder.name))
        self._categories = _json(self.folder / "instances.json")
        self._drawn = (self.folder / "instances").is_dir()
        self._maps: dict[str, list[Path]] = {}
        for stem, path in _files(self.folder / ("instances" if self._drawn else "labels")).items():
            photo = stem if stem in images else stem.rpartition("__")[0]
            self._maps.setdefault(photo, []).append(path)
        self._images = {stem: path for stem, path in images.items() if stem in self._maps}
        self.stems = sorted(self._images)
        if not self.stems:
            raise ConfigError(f"no picture of {self.folder} has a label of its name; {_LAYOUT}")

    def __len__(self) -> int:
        return len(self.stems)

    def read(self, stem: str) -> LabelledPhoto:
        """Read one picture and its segments.

        Raises:
            ConfigError: no such picture, or a file of it cannot be used.
        """
        if stem not in self._images:
            raise ConfigError(f"{self.folder} has no labelled picture {stem!r}")
        pixels = _pixels(self._images[stem])
        paths = self._maps[stem]
        maps = [_map(path, (pixels.shape[0], pixels.shape[1])) for path in paths]
        categories: dict[int, int | str] = {}
        if self._drawn:
            for segment in self._categories.get(stem, ()):
                if segment.get("iscrowd"):
                    maps[0][maps[0] == segment["id"]] = 0
                else:
                    categories[int(segment["id"])] = segment["category"]
        elif paths[0].stem == stem:
            maps[0], categories = _components(maps[0], self._nothing())
        taken = 0
        for map_ in maps:  # every annotator numbers from 1
            map_[map_ > 0] += taken
            taken = max(taken, int(map_.max()))
        return LabelledPhoto(stem, pixels, maps[0], categories, tuple(maps[1:]))

    def _nothing(self) -> set[int]:
        """Return the values of a class map that are no segments."""
        classes = self._meta.get("classes", {})
        background = {int(value) for value, name in classes.items() if name == "background"}
        return background | {int(v) for v in (self._meta.get("ignore_index"),) if v is not None}


def is_held_out(stem: str, share: float) -> bool:
    """Tell whether a photo is kept from training: by its name, so the answer never changes."""
    first = hashlib.blake2b(stem.encode(), digest_size=4).digest()
    return int.from_bytes(first, "big") < share * 2**32


def _components(classes: NDArray[Any], nothing: set[int]) -> tuple[Int32, dict[int, int | str]]:
    """Split a class map, (h, w), into connected components: their map, and the class of each."""
    from scipy import ndimage

    instances = np.zeros(classes.shape, dtype=np.int32)
    categories: dict[int, int | str] = {}
    for value in sorted(set(np.unique(classes).tolist()) - nothing):
        components, count = ndimage.label(classes == value, structure=np.ones((3, 3)))
        areas = np.bincount(components.ravel(), minlength=count + 1)
        for component in range(1, count + 1):
            if areas[component] > SMALLEST_COMPONENT * classes.size:
                categories[len(categories) + 1] = value
                instances[components == component] = len(categories)
    return instances, categories


def _files(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by stem, in the order of their names."""
    if not folder.is_dir():
        raise ConfigError(f"no folder {folder}; {_LAYOUT}")
    return {p.stem: p for p in sorted(folder.iterdir()) if p.is_file() and p.name[0] != "."}


def _json(path: Path) -> dict[str, Any]:
    """Read a JSON object; an absent file is an empty one."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except ValueError as e:
        raise ConfigError(f"{path} is not JSON: {e}") from e
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds {type(found).__name__}, wanted an object")
    return found


def _pixels(path: Path) -> Pixels:
    try:
        with Image.open(path) as picture:
            return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    except OSError as e:
        raise ConfigError(f"cannot read the picture {path}: {e}") from e


def _map(path: Path, size: tuple[int, int]) -> Int32:
    try:
        with Image.open(path) as picture:
            found = np.array(picture)
    except OSError as e:
        raise ConfigError(f"cannot read the label {path}: {e}") from e
    if found.shape != size:
        raise ConfigError(f"{path} has shape {found.shape}, wanted {size} as its picture has")
    return found.astype(np.int32)
