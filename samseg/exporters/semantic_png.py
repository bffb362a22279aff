"""Label maps for training semantic segmentation: named after the photo, classes without gaps.

Read by mmsegmentation, Detectron2's `sem_seg`, Hugging Face and most training code, which ignore
the value 255. Not for instances or overlapping masks; use `coco` for those. `png` has a palette and
pixel values that do not depend on the other classes.
"""

import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from samseg.errors import ConfigError
from samseg.exporters.pairing import put_paired
from samseg.exporters.selection import Selection
from samseg.exporters.types import ClassRow, LabelledImage, Target, Written
from samseg.masks.painting import painted
from samseg.masks.palette import color_of


class SemanticPng(Selection):
    """`annotations/{path}.png` per image, and `legend.json`.

    A pixel is the index of its class, counted from 0 without gaps in the order of the class ids, or
    255 where there is none: noise, masks without a class, and pixels without a mask. With more than
    255 classes, PNGs have 16 bits, and 65535 is the value of no class. Where masks overlap, the
    pixel belongs to the smallest one.

    The map of `a/b.jpg` is `annotations/a/b.png`, the name by which trainers pair the two; see
    `samseg.exporters.pairing` for photos that cannot have it.
    """

    kind: Literal["semantic_png"] = "semantic_png"

    def write(
        self, images: Iterable[LabelledImage], classes: Sequence[ClassRow], target: Target
    ) -> Written:
        """See `samseg.exporters.types.Format`.

        Raises:
            ConfigError: the classes do not fit in 16 bits.
        """
        none = 255 if len(classes) <= 255 else 65535
        if len(classes) > none:
            raise ConfigError(
                f"exports.semantic_png: {len(classes)} classes do not fit a 16-bit PNG (at most "
                f"{none}); select some with `classes`, or use `kind: coco`"
            )
        index_of = {c.class_id: i for i, c in enumerate(classes)}
        target.put("legend.json", _legend(classes, none))
        count = kept = left_out = 0
        for image in images:
            masks = [(index_of[m.class_id], m) for m in image.masks if m.class_id in index_of]
            index = painted(
                (image.height, image.width),
                [mask.rle for _, mask in masks],
                [mask.area for _, mask in masks],
                [i for i, _ in masks],
                background=none,
            )
            dtype = np.uint8 if none == 255 else np.uint16
            put_paired(image, _encode(index.astype(dtype)), target, "annotations", ".png")
            count, kept = count + 1, kept + len(masks)
            left_out += len(image.masks) - len(masks)
        return Written(self.kind, target.uri, count, kept, left_out, target.objects)


def _encode(index: Any) -> bytes:
    from PIL import Image as PillowImage

    sink = io.BytesIO()
    PillowImage.fromarray(index).save(sink, "PNG")
    return sink.getvalue()


def _legend(classes: Sequence[ClassRow], none: int) -> bytes:
    rows: list[dict[str, Any]] = [
        {
            "index": i,
            "class_id": c.class_id,
            "name": c.name,
            "color": f"#{bytes(color_of(c.class_id)).hex()}",
        }
        for i, c in enumerate(classes)
    ]
    rows.append({"index": none, "class_id": None, "name": "no class", "color": None})
    return (json.dumps(rows, indent=1) + "\n").encode()
