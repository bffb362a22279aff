"""One JSON file in COCO's layout: images, annotations, categories. Shared by the COCO exporters."""

import io
import json
from collections.abc import Mapping
from typing import Any

from samseg.exporters.names import file_of, number_of
from samseg.exporters.origin import KEY
from samseg.exporters.types import LabelledImage, Target

NOTE = (
    "category id = class id + 1; pixels refer to the upright image (EXIF orientation applied); "
    "file_name is below the lake's root, where a.tar is extracted to a/"
)
"""What every file says of itself."""


class CocoFile:
    """An unfinished file, kept as text, which takes far less memory than Python objects.

    Attributes:
        images: images added.
        annotations: annotations added.
        left_out: masks that were not added; counted by the exporter.
    """

    def __init__(self) -> None:
        self.images = self.annotations = self.left_out = 0
        self._image_text = io.StringIO()
        self._annotation_text = io.StringIO()

    def add_image(self, image: LabelledImage) -> int:
        """Add an image and return its id in the file."""
        number = number_of(image.image_id)
        row = {
            "id": number,
            "file_name": file_of(image),
            "coco_url": image.uri,
            "width": image.width,
            "height": image.height,
            "image_id": image.image_id,
        }
        _append(self._image_text, row)
        self.images += 1
        return number

    def add_annotation(self, row: Mapping[str, Any]) -> None:
        """Add one annotation."""
        _append(self._annotation_text, row)
        self.annotations += 1

    def close(self, categories: list[dict[str, Any]], target: Target, note: str) -> bytes:
        """Return the finished file.

        Args:
            categories: the categories, the same in all files of an export.
            target: the destination of the export.
            note: what to add to `NOTE`.
        """
        info = {
            "description": "Masks and classes by samseg",
            "version": target.stamp,
            "masks_left_out": self.left_out,
            "note": f"{NOTE}; {note}",
            KEY: dict(target.origin),
        }
        head = json.dumps({"info": info, "licenses": [], "categories": categories})
        body = (
            f'{head[:-1]}, "images": [{self._image_text.getvalue()}\n], '
            f'"annotations": [{self._annotation_text.getvalue()}\n]}}\n'
        )
        return body.encode()


def _append(text: io.StringIO, row: Mapping[str, Any]) -> None:
    text.write(",\n" if text.tell() else "\n")
    text.write(json.dumps(row))
