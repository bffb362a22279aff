"""COCO instance annotations: one category per class, RLEs or polygons, files of bounded size.

Read by pycocotools, FiftyOne, Detectron2, CVAT and most training code. Masks may overlap. Not for
training code that needs one class per pixel; use `png` for that.
"""

import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import Field

from samseg.exporters.names import file_of, number_of
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow, Target, Written
from samseg.masks.painting import dense
from samseg.masks.polygons import polygons_of
from samseg.spec import Spec
from samseg.types import NOISE


class Coco(Spec):
    """COCO instance JSON in files `instances-00000.json`, `instances-00001.json` ...

    Every file is complete and has the same categories. Ids of images and annotations are hashes of
    the `image_id` and `mask_id` of the tables, which each record also holds. So they stay the same
    in later exports, and files can be concatenated.

    `file_name` is the image's path below the root of the lake; a tar counts as the folder that it
    is extracted to. `coco_url` is the image's address, which fsspec opens, also in a tar.

    Attributes:
        segmentation: `rle`, or `polygons` for tools that edit outlines. A polygon per part, along
            the edges of the pixels; holes are joined to their part. Both are exact. Polygons take
            several times the space.
        images_per_file: maximum images in one file; bounds its size and the memory to write it.
            With a hundred masks per image, 5000 images make a file as large as COCO's own training
            set.
        noise: also write masks of noise, as category 0 `noise`.
    """

    kind: Literal["coco"] = "coco"
    segmentation: Literal["rle", "polygons"] = "rle"
    images_per_file: int = Field(5_000, ge=1)
    noise: bool = False

    def write(
        self, images: Iterable[LabelledImage], classes: Sequence[ClassRow], target: Target
    ) -> Written:
        """See `samseg.exporters.types.Format`."""
        names = [(c.class_id, c.name) for c in classes]
        if self.noise:
            names.insert(0, (NOISE, "noise"))
        categories = [
            {"id": class_id + 1, "name": name, "supercategory": "samseg"}
            for class_id, name in names
        ]
        file = _File(0, self.segmentation)
        count = kept = left_out = 0

        def finish() -> None:
            nonlocal count, kept, left_out
            target.put(file.name, file.close(categories, target.stamp))
            count, kept = count + file.images, kept + file.annotations
            left_out += file.left_out

        for image in images:
            if file.images == self.images_per_file:
                finish()
                file = _File(file.number + 1, self.segmentation)
            file.add(image, self.noise)
        finish()
        return Written(self.kind, target.uri, count, kept, left_out, target.objects)


class _File:
    """One unfinished JSON file, kept as text, which takes far less memory than Python objects."""

    def __init__(self, number: int, segmentation: str):
        self.number = number
        self.images = self.annotations = self.left_out = 0
        self._segmentation = segmentation
        self._image_text = io.StringIO()
        self._annotation_text = io.StringIO()

    @property
    def name(self) -> str:
        return f"instances-{self.number:05d}.json"

    def add(self, image: LabelledImage, noise: bool) -> None:
        number = number_of(image.image_id)
        _append(
            self._image_text,
            {
                "id": number,
                "file_name": file_of(image),
                "coco_url": image.uri,
                "width": image.width,
                "height": image.height,
                "image_id": image.image_id,
            },
        )
        self.images += 1
        for mask in image.masks:
            if mask.class_id is None or (mask.class_id == NOISE and not noise):
                self.left_out += 1
                continue
            _append(self._annotation_text, _annotation(mask, number, self._segmentation))
            self.annotations += 1

    def close(self, categories: list[dict[str, Any]], stamp: str) -> bytes:
        info = {
            "description": "Masks and classes by samseg",
            "version": stamp,
            "masks_left_out": self.left_out,
            "note": (
                "category id = class id + 1; score = predicted IoU; pixels refer to the upright "
                "image (EXIF orientation applied); file_name is below the lake's root, where "
                "a.tar is extracted to a/; masks_left_out counts masks of no class"
            ),
        }
        head = json.dumps({"info": info, "licenses": [], "categories": categories})
        body = (
            f'{head[:-1]}, "images": [{self._image_text.getvalue()}\n], '
            f'"annotations": [{self._annotation_text.getvalue()}\n]}}\n'
        )
        return body.encode()


def _annotation(mask: MaskRow, image_number: int, segmentation: str) -> dict[str, Any]:
    class_id = NOISE if mask.class_id is None else mask.class_id
    shape: Any = {"size": list(mask.rle["size"]), "counts": mask.rle["counts"]}
    if segmentation == "polygons":
        shape = [polygon.ravel().tolist() for polygon in polygons_of(dense(mask.rle))]
    return {
        "id": number_of(mask.mask_id),
        "image_id": image_number,
        "category_id": class_id + 1,
        "bbox": list(mask.bbox),
        "area": mask.area,
        "iscrowd": 0,
        "score": round(mask.predicted_iou, 5),
        "mask_id": mask.mask_id,
        "segmentation": shape,
    }


def _append(text: io.StringIO, row: dict[str, Any]) -> None:
    text.write(",\n" if text.tell() else "\n")
    text.write(json.dumps(row))
