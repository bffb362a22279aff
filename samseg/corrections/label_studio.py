"""Corrected tasks: what Label Studio exports as JSON.

A region keeps the id that it was exported with, also in an annotation that a person made from our
prediction. Of several annotations of a task, the one that was updated last counts.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

from samseg.corrections.corrected_file import FileCategory, FileImage, FileMask
from samseg.corrections.json_text import JsonText
from samseg.corrections.origin import origin_in
from samseg.corrections.outline import Rle, of_pixels, of_polygons
from samseg.errors import ConfigError
from samseg.exporters.brush import mask_of_brush_rle
from samseg.exporters.origin import KEY

_REGION = re.compile(r"(?P<mask>.+?-[0-9]{4,})(-[0-9]+)?(#.*)?")
"""Id of a region: the mask's, of polygons with the number of the part, and what an editor adds."""
_LABELS = {"brushlabels": "brush", "polygonlabels": "polygon"}


class CorrectedTasks:
    """See `samseg.corrections.corrected_file.CorrectedFile`; `image` decodes tasks again.

    Attributes:
        unseen: number of tasks that nobody has annotated.
    """

    lists_categories = False

    def __init__(self, text: JsonText):
        """Read all tasks, and keep their places.

        Raises:
            ConfigError: it is no export of Label Studio, or ids are missing or given twice.
        """
        self._text, self.name, self.unseen = text, text.name, 0
        self._places: dict[str, int] = {}
        origins: dict[str, Any] = {}
        labels: dict[str, None] = {}
        for _, place, task in text.walk():
            found = task.get("data") if isinstance(task, dict) else None
            if not isinstance(found, dict) or not isinstance(found.get("image_id"), str):
                raise ConfigError(
                    f"{self.name} is no JSON export of Label Studio of tasks by samseg: a task "
                    "has no `data` with `image_id`"
                )
            image = found["image_id"]
            origins.setdefault(str(found.get(KEY)), found.get(KEY))
            if (annotation := self._annotation(task)) is None:
                self.unseen += 1
                continue
            if image in self._places:
                raise ConfigError(f"{self.name} has two annotated tasks of the image {image}")
            self._places[image] = place
            for region in self._regions(annotation, image):
                labels[self._label(region, image)] = None
        if len(origins) > 1:
            raise ConfigError(f"{self.name} has tasks of several exports; import them one by one")
        self.origin = origin_in(next(iter(origins.values()), None), self.name)
        self.categories = [FileCategory(label, label, None) for label in labels]
        self.images = list(self._places)

    def image(self, image_id: str) -> FileImage:
        """See `CorrectedFile`."""
        annotation = self._annotation(self._text.at(self._places[image_id])) or {}
        regions = self._regions(annotation, image_id)
        by_mask: dict[str, list[Any]] = defaultdict(list)
        drawn: list[Any] = []
        for region in regions:
            known = _REGION.fullmatch(str(region.get("id")))
            if known and known["mask"].startswith(image_id):
                by_mask[known["mask"]].append(region)
            else:
                drawn.append(region)
        masks = [self._mask(mask, found, image_id) for mask, found in by_mask.items()]
        for region in drawn:
            what, label = f"{self.name}: a region of {image_id}", self._label(region, image_id)
            masks.append(FileMask(what, None, None, label, None))
        whole = bool(by_mask) or annotation.get("parent_prediction") is not None
        others = len(annotation["result"]) - len(regions)
        return FileImage(masks, whole, others)

    def _mask(self, mask_id: str, regions: Sequence[Any], image_id: str) -> FileMask:
        what = f"{self.name}: region {mask_id}"
        labels = {self._label(region, image_id) for region in regions}
        if len(labels) > 1:
            raise ConfigError(f"{what} has parts with several labels: {sorted(labels)}")
        return FileMask(what, mask_id, None, labels.pop(), partial(_redrawn, regions, what))

    def _annotation(self, task: Any) -> dict[str, Any] | None:
        """Return the annotation of a task that counts; None if nobody has made one."""
        found = task.get("annotations", [])
        if not isinstance(found, list) or not all(
            isinstance(a, dict) and isinstance(a.get("result"), list) for a in found
        ):
            raise ConfigError(f"{self.name}: a task has `annotations` without a list `result`")
        made = [a for a in found if not a.get("was_cancelled")]
        return max(made, key=lambda a: str(a.get("updated_at", "")), default=None)

    def _regions(self, annotation: dict[str, Any], image: str) -> list[dict[str, Any]]:
        """Return the regions that are masks."""
        regions = [r for r in annotation["result"] if isinstance(r, dict)]
        masks = [r for r in regions if r.get("type") in _LABELS]
        for region in masks:
            if not isinstance(region.get("value"), dict):
                raise ConfigError(f"{self.name}: a region of {image} has no `value`")
        return masks

    def _label(self, region: dict[str, Any], image: str) -> str:
        labels = region["value"].get(region["type"])
        if not isinstance(labels, list) or len(labels) != 1 or not str(labels[0]).strip():
            raise ConfigError(
                f"{self.name}: region {region.get('id')} of {image} has the labels {labels}, "
                "wanted one"
            )
        return str(labels[0])


def _redrawn(regions: Sequence[Any], what: str, exported: Rle) -> Rle | None:
    """Return the RLE of the regions of one mask if it differs from the exported one."""
    h, w = exported["size"]
    polygons: list[list[float]] = []
    drawn: Rle | None = None
    for region in regions:
        size = [region.get("original_height"), region.get("original_width")]
        if size != [h, w] or region.get("image_rotation"):
            raise ConfigError(
                f"{what} is drawn on a picture of size {size}, rotated by "
                f"{region.get('image_rotation', 0)} degrees; its image has {[h, w]} and no rotation"
            )
        value = region["value"]
        if _LABELS[region["type"]] == "brush":
            try:
                pixels = mask_of_brush_rle(value.get("rle"), (h, w))
            except (ValueError, TypeError) as e:
                raise ConfigError(f"{what} has an `rle` that cannot be read: {e}") from e
            drawn = of_pixels(pixels, what)
        else:
            polygons.append(_corners(value.get("points"), (h, w), what))
    if polygons:
        drawn = of_polygons(polygons, (h, w), what)
    return None if drawn is None or drawn["counts"] == exported["counts"] else drawn


def _corners(points: Any, size: tuple[int, int], what: str) -> list[float]:
    """Return x, y, x, y ... in px of points in percent."""
    h, w = size
    pairs = points if isinstance(points, list) else []
    if not all(isinstance(p, list) and len(p) == 2 for p in pairs):
        raise ConfigError(f"{what} has `points` that are no pairs of numbers")
    if not all(type(n) in (int, float) for pair in pairs for n in pair):
        raise ConfigError(f"{what} has `points` that are no numbers")
    return [n * side / 100 for pair in pairs for n, side in zip(pair, (w, h), strict=True)]
