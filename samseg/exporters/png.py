"""Semantic label maps: one PNG per image, one class per pixel, one palette for all.

Read by training code for semantic segmentation (mmsegmentation, timm, Detectron2's `sem_seg`);
image viewers show the palette's colours. Not for instances or overlapping masks; use `coco` for
those.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, Literal

import numpy as np

from samseg.edits.edit import CREATED
from samseg.errors import ConfigError
from samseg.exporters.names import png_of
from samseg.exporters.selection import Selection
from samseg.exporters.types import ClassRow, LabelledImage, Target, Written
from samseg.masks.painting import painted
from samseg.masks.palette import color_of, table_of
from samseg.types import NOISE, Int32


class Png(Selection):
    """`classes.json` and one PNG per image: pixel value = class id + 1, 0 where there is no class.

    Classes that people made have the values after those, in the order of their ids; `classes.json`
    has the value of each class as `index`.

    PNGs are 8-bit with a palette if every value fits, otherwise 16-bit grayscale. Where masks
    overlap, the smallest one is drawn. Noise and unassigned masks are 0.

    The PNG of `a/b.jpg` is `images/a/b.jpg.png`. Keys that could escape the folder, collide or be
    invalid on some file system give `images/_/{image_id}.png`.
    """

    kind: Literal["png"] = "png"

    def write(
        self, images: Iterable[LabelledImage], classes: Sequence[ClassRow], target: Target
    ) -> Written:
        """See `samseg.exporters.types.Format`.

        Raises:
            ConfigError: a class id does not fit in 16 bits.
        """
        index_of = _indices(classes)
        indices = max(index_of.values(), default=0) + 1
        if indices > 1 << 16:
            raise ConfigError(
                f"exporters.png: class id {indices - 2} does not fit a 16-bit PNG (at most "
                f"{(1 << 16) - 2}); use `kind: coco`"
            )
        target.put("classes.json", _legend(classes, index_of))
        images_written = kept = left_out = 0
        for image in images:
            masks = [(index_of[m.class_id], m) for m in image.masks if m.class_id in index_of]
            index = painted(
                (image.height, image.width),
                [mask.rle for _, mask in masks],
                [mask.area for _, mask in masks],
                [index for index, _ in masks],
            )
            target.put(f"images/{png_of(image)}", _encode(index, indices))
            images_written, kept = images_written + 1, kept + len(masks)
            left_out += len(image.masks) - len(masks)
        return Written(self.kind, target.uri, images_written, kept, left_out, target.objects)


def _encode(index: Int32, indices: int) -> bytes:
    from PIL import Image as PillowImage

    sink = io.BytesIO()
    if indices <= 256:
        png = PillowImage.fromarray(index.astype(np.uint8)).convert("L")
        png.putpalette(table_of(indices).tobytes())
    else:
        png = PillowImage.fromarray(index.astype(np.uint16))
    png.save(sink, "PNG")
    return sink.getvalue()


def _indices(classes: Sequence[ClassRow]) -> dict[int | None, int]:
    """Return the pixel value of each class."""
    found = [c.class_id for c in classes if c.class_id < CREATED]
    index_of: dict[int | None, int] = {class_id: class_id + 1 for class_id in found}
    made = (c.class_id for c in classes if c.class_id >= CREATED)
    return index_of | dict(zip(made, count(max(found, default=NOISE) + 2), strict=False))


def _legend(classes: Sequence[ClassRow], index_of: Mapping[int | None, int]) -> bytes:
    rows: list[dict[str, Any]] = [{"index": 0, "class_id": None, "name": "no class"}]
    rows += [
        {"index": index_of[c.class_id], "class_id": c.class_id, "name": c.name} for c in classes
    ]
    for row in rows:
        index = row["index"]
        row["color"] = "#%02x%02x%02x" % (color_of(index - 1) if index else (0, 0, 0))
    return (json.dumps(rows, indent=1) + "\n").encode()
