"""COCO panoptic segmentation: one segment per mask, one segment per pixel, a PNG per image.

Read by panopticapi, Datumaro and trainers of panoptic segmentation. Not for overlapping masks; use
`coco` for those.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from samseg.exporters.coco_file import CocoFile
from samseg.exporters.names import numbered
from samseg.exporters.pairing import put_paired
from samseg.exporters.selection import Selection
from samseg.exporters.types import ClassRow, LabelledImage, Target, Written
from samseg.masks.painting import painted
from samseg.masks.palette import color_of
from samseg.types import NOISE, Int32


class CocoPanoptic(Selection):
    """Files `panoptic-00000.json` ..., and the PNGs that they name, in the folder `panoptic/`.

    The colour of a pixel is the id of its segment, `R + 256 G + 65536 B`, in COCO's convention; 0
    is void. Ids count the masks of an image from 1. Where masks overlap, the pixel belongs to the
    smallest one. Noise and unassigned masks are void, and masks without a visible pixel are left
    out. Every class is a thing, because each mask is a segment of its own.

    Attributes:
        images_per_file: maximum images in one JSON file; bounds its size and the memory to write
            it.
    """

    kind: Literal["coco_panoptic"] = "coco_panoptic"
    images_per_file: int = Field(5_000, ge=1)

    def write(
        self, images: Iterable[LabelledImage], classes: Sequence[ClassRow], target: Target
    ) -> Written:
        """See `samseg.exporters.types.Format`."""
        categories = [
            {
                "id": c.class_id + 1,
                "name": c.name,
                "supercategory": "samseg",
                "isthing": 1,
                "color": color_of(c.class_id),
                "class_id": c.class_id,
            }
            for c in classes
        ]
        file, number = CocoFile(), 0
        count = kept = left_out = 0

        def finish() -> None:
            nonlocal count, left_out
            note = "masks_left_out counts masks of no class or without a visible pixel"
            payload = file.close(categories, target, note)
            target.put(f"panoptic-{numbered(target, number)}.json", payload)
            count, left_out = count + file.images, left_out + file.left_out

        for image in images:
            if file.images == self.images_per_file:
                finish()
                file, number = CocoFile(), number + 1
            index = _segments(image)
            segments = list(_rows(image, index))
            png = put_paired(image, _encode(index), target, "panoptic", ".png")
            row = {"image_id": file.add_image(image), "file_name": png, "segments_info": segments}
            file.add_annotation(row)
            file.left_out += len(image.masks) - len(segments)
            kept += len(segments)
        finish()
        return Written(self.kind, target.uri, count, kept, left_out, target.objects)


def _segments(image: LabelledImage) -> Int32:
    """Return the (h, w) map of segment ids."""
    chosen = [
        (i, mask)
        for i, mask in enumerate(image.masks, start=1)
        if mask.class_id is not None and mask.class_id != NOISE
    ]
    return painted(
        (image.height, image.width),
        [mask.rle for _, mask in chosen],
        [mask.area for _, mask in chosen],
        [i for i, _ in chosen],
    )


def visible(image: LabelledImage) -> set[str]:
    """Return the ids of the masks that have pixels of their own in an export."""
    shown = np.unique(_segments(image))
    return {image.masks[i - 1].mask_id for i in shown[shown > 0]}


def _rows(image: LabelledImage, index: Int32) -> Iterator[dict[str, Any]]:
    """Yield the segments that have pixels, with the area and box of these."""
    from scipy.ndimage import find_objects

    areas = np.bincount(index.ravel())
    for i, window in enumerate(find_objects(index), start=1):
        if window is not None:
            mask = image.masks[i - 1]
            y, x = window
            yield {
                "id": i,
                "category_id": (NOISE if mask.class_id is None else mask.class_id) + 1,
                "area": int(areas[i]),
                "bbox": [x.start, y.start, x.stop - x.start, y.stop - y.start],
                "iscrowd": 0,
                "score": round(mask.predicted_iou, 5),
                "mask_id": mask.mask_id,
            }


def _encode(index: Int32) -> bytes:
    from PIL import Image as PillowImage

    colors = np.stack([index & 255, index >> 8 & 255, index >> 16], axis=-1).astype(np.uint8)
    sink = io.BytesIO()
    PillowImage.fromarray(colors).save(sink, "PNG")
    return sink.getvalue()
