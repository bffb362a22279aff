"""Labelled photo sets: photos with their true segments, for evaluation and training.

    {set}/images/{stem}.*         the photos
    {set}/instances/{stem}.png    8 or 16 bit: the segment id of each pixel, 0 for none
    {set}/instances.json          optional categories: {stem: [{"id": ..., "category": ...}]},
                                  with COCO's `iscrowd` and `isthing` if known
    {set}/meta.json               optional: name, classes {value: name}, ignore_index

Without `instances/`, segments are read from `labels/`:

- `labels/{stem}.png` is a class map. Segments are the 8-connected components of each class that
  cover more than 0.2 % of the photo; the value `ignore_index` and a class named `background` are
  skipped. The category is the class.
- `labels/{stem}__{k}.png` are the region maps of several annotators (as in BSDS500). Each region of
  each annotator is a segment; 0 is none. There are no categories.

Segments marked `iscrowd` in `instances.json` are skipped, as in COCO's evaluation, because they
cover several objects. Photos without labels are skipped too. Sets are local folders, trusted and
small enough to list.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from samseg.errors import ConfigError
from samseg.types import Bool, Int32, Pixels

MIN_COMPONENT_AREA = 0.002
"""Components of a class map are segments if they cover more than this fraction of the photo."""

_LAYOUT = "expected {set}/images and {set}/instances or {set}/labels; see samseg/lab/labelled.py"


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPhoto:
    """A photo and its true segments.

    Attributes:
        stem: its name in the set.
        pixels: (h, w, 3) uint8 RGB, upright.
        instances: (h, w) int32, the segment id of each pixel, 0 for none.
        categories: id -> category; empty if the set has none.
        things: id -> whether the segment is a thing (countable) or stuff; empty if the set does
            not say so.
        further: maps like `instances` of other annotators; no two maps share an id.
    """

    stem: str
    pixels: Pixels
    instances: Int32
    categories: Mapping[int, int | str]
    further: tuple[Int32, ...] = ()
    things: Mapping[int, bool] = field(default_factory=dict)

    def segments(self, above: float = 0.0) -> list[int]:
        """Return the ids of the segments that cover more than a fraction `above` of the photo."""
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
        folder: path of the set.
        name: the name in `meta.json`, or the folder's name.
        stems: names of the labelled photos, sorted.
    """

    def __init__(self, folder: str | Path):
        """List the set without reading its photos.

        Raises:
            ConfigError: the folder does not have the layout above.
        """
        self.folder = Path(folder).expanduser()
        images = _files(self.folder / "images")
        self._meta = _json(self.folder / "meta.json")
        self.name = str(self._meta.get("name", self.folder.name))
        self._categories = _json(self.folder / "instances.json")
        self._has_instances = (self.folder / "instances").is_dir()
        self._maps: dict[str, list[Path]] = {}
        for stem, path in _files(
            self.folder / ("instances" if self._has_instances else "labels")
        ).items():
            photo = stem if stem in images else stem.rpartition("__")[0]
            self._maps.setdefault(photo, []).append(path)
        self._images = {stem: path for stem, path in images.items() if stem in self._maps}
        self.stems = sorted(self._images)
        if not self.stems:
            raise ConfigError(f"no photo in {self.folder} has a label of the same name; {_LAYOUT}")

    def __len__(self) -> int:
        return len(self.stems)

    @property
    def files(self) -> list[Path]:
        """The files of the photos, in the order of `stems`."""
        return [self._images[stem] for stem in self.stems]

    def chosen(self, held_out: float | None, photos: int | None) -> list[str]:
        """Return the names of photos to evaluate on.

        Args:
            held_out: only photos that a training run with this `held_out` did not use.
            photos: at most this many, the first by name.

        Raises:
            ConfigError: no photo is held out.
        """
        stems = [s for s in self.stems if held_out is None or is_held_out(s, held_out)][:photos]
        if not stems:
            raise ConfigError(
                f"{self.folder}: no photo is held out with held_out {held_out}; increase it, or "
                "use more photos"
            )
        return stems

    def class_name(self, category: int | str) -> str:
        """Return the name of a category in `meta.json`, or the category itself as text."""
        return str(self._meta.get("classes", {}).get(str(category), category))

    def read(self, stem: str) -> LabelledPhoto:
        """Read one photo and its segments.

        Raises:
            ConfigError: there is no such photo, or one of its files is invalid.
        """
        if stem not in self._images:
            raise ConfigError(f"{self.folder} has no labelled photo {stem!r}")
        pixels = _pixels(self._images[stem])
        paths = self._maps[stem]
        maps = [_map(path, (pixels.shape[0], pixels.shape[1])) for path in paths]
        categories: dict[int, int | str] = {}
        things: dict[int, bool] = {}
        if self._has_instances:
            for segment in self._categories.get(stem, ()):
                if segment.get("iscrowd"):
                    maps[0][maps[0] == segment["id"]] = 0
                else:
                    categories[int(segment["id"])] = segment["category"]
                    if "isthing" in segment:
                        things[int(segment["id"])] = bool(segment["isthing"])
        elif paths[0].stem == stem:
            maps[0], categories = _components(maps[0], self._ignored())
        last = 0
        for map_ in maps:  # every annotator numbers from 1
            map_[map_ > 0] += last
            last = max(last, int(map_.max()))
        return LabelledPhoto(stem, pixels, maps[0], categories, tuple(maps[1:]), things)

    def _ignored(self) -> set[int]:
        """Return the values of a class map that are not segments."""
        classes = self._meta.get("classes", {})
        background = {int(value) for value, name in classes.items() if name == "background"}
        return background | {int(v) for v in (self._meta.get("ignore_index"),) if v is not None}


def is_held_out(stem: str, share: float) -> bool:
    """Return whether a photo is held out from training; depends on its name and `share` only."""
    first = hashlib.blake2b(stem.encode(), digest_size=4).digest()
    return int.from_bytes(first, "big") < share * 2**32


def _components(classes: NDArray[Any], ignored: set[int]) -> tuple[Int32, dict[int, int | str]]:
    """Split an (h, w) class map into components; return their map and the class of each."""
    from scipy import ndimage

    instances = np.zeros(classes.shape, dtype=np.int32)
    categories: dict[int, int | str] = {}
    for value in sorted(set(np.unique(classes).tolist()) - ignored):
        components, count = ndimage.label(classes == value, structure=np.ones((3, 3)))
        areas = np.bincount(components.ravel(), minlength=count + 1)
        for component in range(1, count + 1):
            if areas[component] > MIN_COMPONENT_AREA * classes.size:
                categories[len(categories) + 1] = value
                instances[components == component] = len(categories)
    return instances, categories


def _files(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by stem, sorted by name."""
    if not folder.is_dir():
        raise ConfigError(f"no folder {folder}; {_LAYOUT}")
    return {p.stem: p for p in sorted(folder.iterdir()) if p.is_file() and p.name[0] != "."}


def _json(path: Path) -> dict[str, Any]:
    """Read a JSON object; a missing file gives an empty one."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except ValueError as e:
        raise ConfigError(f"{path} is not JSON: {e}") from e
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds {type(found).__name__}, expected an object")
    return found


def _pixels(path: Path) -> Pixels:
    try:
        with Image.open(path) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except OSError as e:
        raise ConfigError(f"cannot read the photo {path}: {e}") from e


def _map(path: Path, size: tuple[int, int]) -> Int32:
    try:
        with Image.open(path) as image:
            found = np.array(image)
    except OSError as e:
        raise ConfigError(f"cannot read the label {path}: {e}") from e
    if found.shape != size:
        raise ConfigError(f"{path} has shape {found.shape}, expected {size}, the size of its photo")
    return found.astype(np.int32)
