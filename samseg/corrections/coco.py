"""Corrected COCO files: instances with their outlines, and panoptic ones without.

The outlines of panoptic files lie in their PNGs, which are not read.
"""

from array import array
from collections.abc import Mapping
from functools import partial
from typing import Any

from samseg.corrections.corrected_file import FileCategory, FileImage, FileMask
from samseg.corrections.json_text import JsonText
from samseg.corrections.origin import origin_in
from samseg.corrections.outline import Rle, of_counts, of_polygons
from samseg.errors import ConfigError
from samseg.exporters.origin import KEY
from samseg.types import image_id_of

_NEEDED = ("info", "images", "annotations", "categories")


class CorrectedCoco:
    """See `samseg.corrections.corrected_file.CorrectedFile`; `image` decodes annotations again."""

    lists_categories = True
    unseen = 0

    def __init__(self, text: JsonText):
        """Read all but the annotations, of which the places are kept.

        Raises:
            ConfigError: it is no COCO file, or ids are missing or given twice.
        """
        self._text, self.name = text, text.name
        self.categories: list[FileCategory] = []
        numbers: dict[int, str] = {}
        places: dict[int, array[int]] = {}
        annotations: set[int] = set()
        info: Any = None
        for key, place, value in text.walk():
            if key == "info":
                info = value
            elif key == "categories":
                self.categories.append(self._category(value))
            elif key == "images":
                number = self._number(value, "id", "an image")
                if number in numbers:
                    raise ConfigError(f"{self.name} has two images with the id {number}")
                numbers[number] = self._image_id(value, number)
            elif key == "annotations":
                if isinstance(value, dict) and "id" in value:
                    number = self._number(value, "id", "an annotation")
                    if number in annotations:
                        raise ConfigError(f"{self.name} has two annotations with the id {number}")
                    annotations.add(number)
                image = self._number(value, "image_id", "an annotation")
                places.setdefault(image, array("q")).append(place)
        if missing := [key for key in _NEEDED if key not in text.keys]:
            raise ConfigError(f"{self.name} is no COCO file: it has no {missing[0]!r}")
        self.origin = origin_in(info.get(KEY) if isinstance(info, dict) else None, self.name)
        if strange := sorted(places.keys() - numbers.keys()):
            raise ConfigError(
                f"{self.name} has annotations of the image {strange[0]}, which is not among its "
                "images"
            )
        self._known = {category.key for category in self.categories}
        if len(self._known) < len(self.categories):
            raise ConfigError(f"{self.name} has two categories with one id")
        self._places = {image: places.get(number, ()) for number, image in numbers.items()}
        if len(self._places) < len(numbers):
            raise ConfigError(f"{self.name} has one image twice")
        self.images = list(self._places)

    def image(self, image_id: str) -> FileImage:
        """See `CorrectedFile`."""
        masks: list[FileMask] = []
        for place in self._places[image_id]:
            annotation = self._text.at(place)
            if self.origin.kind == "coco_panoptic":
                segments = annotation.get("segments_info")
                if not isinstance(segments, list):
                    raise ConfigError(f"{self.name}: an image has no `segments_info`")
                masks += [self._mask(s, f"segment of image {image_id}", False) for s in segments]
            else:
                what = f"annotation {annotation.get('id', '')}"
                masks.append(self._mask(annotation, what, True))
        return FileImage(masks)

    def _mask(self, record: Any, what: str, outlined: bool) -> FileMask:
        what = f"{self.name}: {what}"
        category = self._number(record, "category_id", what)
        if category not in self._known:
            raise ConfigError(f"{what} has category {category}, which is not among the categories")
        mask_id, shape = record.get("mask_id"), record.get("segmentation")
        return FileMask(
            what,
            mask_id if isinstance(mask_id, str) else None,
            record["id"] if outlined and isinstance(record.get("id"), int) else None,
            category,
            partial(_redrawn, shape, what) if outlined and shape is not None else None,
        )

    def _category(self, record: Any) -> FileCategory:
        number = self._number(record, "id", "a category")
        name, class_id = record.get("name"), record.get("class_id")
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"{self.name}: category {number} has no name")
        return FileCategory(number, name, class_id if type(class_id) is int else None)

    def _image_id(self, record: Mapping[str, Any], number: int) -> str:
        image_id, file = record.get("image_id"), record.get("file_name")
        if isinstance(image_id, str):
            return image_id
        if isinstance(file, str):  # of a loose file
            return image_id_of(file)
        raise ConfigError(f"{self.name}: image {number} has neither `image_id` nor `file_name`")

    def _number(self, record: Any, key: str, what: str) -> int:
        value = record.get(key) if isinstance(record, dict) else None
        if type(value) is not int:
            raise ConfigError(
                f"{self.name}: {what} has no whole number as {key!r}: it has {value!r}"
            )
        return value


def _redrawn(shape: Any, what: str, exported: Rle) -> Rle | None:
    """Return the RLE of a `segmentation` if it differs from the exported one."""
    h, w = exported["size"]
    if isinstance(shape, dict):
        if shape.get("counts") == exported["counts"] and shape.get("size") == [h, w]:
            return None
        drawn = of_counts(shape.get("counts"), shape.get("size"), (h, w), what)
    elif isinstance(shape, list):
        drawn = of_polygons(shape, (h, w), what)
    else:
        raise ConfigError(f"{what} has a segmentation that is neither an RLE nor polygons")
    return None if drawn["counts"] == exported["counts"] else drawn
