"""Semantic label maps: one PNG per image, one class per pixel, one palette for all.

Read by training code for semantic segmentation (mmsegmentation, timm, Detectron2's `sem_seg`);
image viewers show the palette's colours. Not for instances or overlapping masks; use `coco` for
those.
"""

import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from samseg.errors import ConfigError
from samseg.exporters.names import png_of
from samseg.exporters.selection import Selection
from samseg.exporters.types import ClassRow, LabelledImage, Target, Written
from samseg.masks.painting import painted
from samseg.masks.palette import color_of, table_of
from samseg.types import NOISE, Int32


class Png(Selection):
    """`classes.json` and one PNG per image: pixel value = class id + 1, 0 where there is no class.

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
        indices = max((c.class_id for c in classes), default=NOISE) + 2
        if indices > 1 << 16:
            raise ConfigError(
                f"exporters.png: class id {indices - 2} does not fit a 16-bit PNG (at most "
                f"{(1 << 16) - 2}); use `kind: coco`"
            )
        target.put("classes.json", _legend(classes))
        count = kept = left_out = 0
        for image in images:
            masks = [m for m in image.masks if m.class_id is not None and m.class_id != NOISE]
            index = painted(
                (image.height, image.width),
                [m.rle for m in masks],
                [m.area for m in masks],
                [m.class_id + 1 for m in masks if m.class_id is not None],
            )
            target.put(f"images/{png_of(image)}", _encode(index, indices))
            count, kept = count + 1, kept + len(masks)
            left_out += len(image.masks) - len(masks)
        return Written(self.kind, target.uri, count, kept, left_out, target.objects)


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


def _legend(classes: Sequence[ClassRow]) -> bytes:
    rows: list[dict[str, Any]] = [{"index": 0, "class_id": None, "name": "no class"}]
    rows += [{"index": c.class_id + 1, "class_id": c.class_id, "name": c.name} for c in classes]
    for row in rows:
        class_id = row["class_id"]
        row["color"] = "#%02x%02x%02x" % ((0, 0, 0) if class_id is None else color_of(class_id))
    return (json.dumps(rows, indent=1) + "\n").encode()
