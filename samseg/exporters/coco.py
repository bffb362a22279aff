"""COCO instance annotations: one category per class, RLEs or polygons, files of bounded size.

Read by pycocotools, FiftyOne, Detectron2, CVAT and most training code. Masks may overlap. Not for
training code that needs one class per pixel; use `png` for that.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import Field

from samseg.exporters.coco_file import CocoFile
from samseg.exporters.names import number_of, numbered
from samseg.exporters.selection import Selection
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow, Target, Written
from samseg.masks.painting import dense
from samseg.masks.polygons import polygons_of
from samseg.types import NOISE


class Coco(Selection):
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
            {"id": class_id + 1, "name": name, "supercategory": "samseg", "class_id": class_id}
            for class_id, name in names
        ]
        file, number = CocoFile(), 0
        count = kept = left_out = 0

        def finish() -> None:
            nonlocal count, kept, left_out
            payload = file.close(
                categories,
                target,
                "score = predicted IoU; masks_left_out counts masks of no class",
            )
            target.put(f"instances-{numbered(target, number)}.json", payload)
            count, kept = count + file.images, kept + file.annotations
            left_out += file.left_out

        for image in images:
            if file.images == self.images_per_file:
                finish()
                file, number = CocoFile(), number + 1
            image_number = file.add_image(image)
            for mask in image.masks:
                if mask.class_id is None or (mask.class_id == NOISE and not self.noise):
                    file.left_out += 1
                else:
                    file.add_annotation(self._annotation(mask, mask.class_id, image_number))
        finish()
        return Written(self.kind, target.uri, count, kept, left_out, target.objects)

    def _annotation(self, mask: MaskRow, class_id: int, image_number: int) -> dict[str, Any]:
        shape: Any = {"size": list(mask.rle["size"]), "counts": mask.rle["counts"]}
        if self.segmentation == "polygons":
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
