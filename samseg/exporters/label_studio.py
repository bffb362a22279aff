"""Label Studio predictions: tasks to import, with masks that people accept or correct.

Read by Label Studio and Label Studio Enterprise. Not for training; Label Studio itself exports what
was corrected.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from pydantic import Field

from samseg.exporters.brush import brush_rle_of
from samseg.exporters.names import file_of, labels_of, numbered
from samseg.exporters.origin import KEY
from samseg.exporters.selection import Selection
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow, Target, Written
from samseg.masks.painting import dense
from samseg.masks.palette import color_of
from samseg.masks.polygons import polygons_of

_CONTROL = {"rle": ("BrushLabels", "brush"), "polygons": ("PolygonLabels", "polygon")}
"""Tag of the labelling interface, and its name, for each segmentation."""


class LabelStudio(Selection):
    """`tasks-00000.json` ... to import, and `config.xml`, the labelling interface that they need.

    A task is an image with one prediction. Masks may overlap; noise and unassigned masks are left
    out. Of classes with the same name, the labels also contain the class id.

    Attributes:
        segmentation: `rle` for brush masks, one region per mask; or `polygons`, one region per part
            along the edges of its pixels, with holes joined to it. Both are exact.
        image_root: URL of the lake's root as Label Studio reaches it
            (`/data/local-files/?d=photos`); the path of the image's file is appended. By default a
            task has the image's address in the lake, which Label Studio opens for `s3://`, `gs://`
            and `http://` lakes of loose files.
        images_per_file: maximum images in one file; bounds its size and the memory to write it.
    """

    kind: Literal["label_studio"] = "label_studio"
    segmentation: Literal["rle", "polygons"] = "rle"
    image_root: str | None = Field(None, min_length=1)
    images_per_file: int = Field(500, ge=1)

    def write(
        self, images: Iterable[LabelledImage], classes: Sequence[ClassRow], target: Target
    ) -> Written:
        """See `samseg.exporters.types.Format`."""
        label_of = labels_of(classes)
        target.put("config.xml", self._config(label_of).encode())
        rows: list[str] = []
        number = count = kept = left_out = 0

        def finish() -> None:
            target.put(f"tasks-{numbered(target, number)}.json", f"[{','.join(rows)}\n]\n".encode())

        for image in images:
            if len(rows) == self.images_per_file:
                finish()
                rows, number = [], number + 1
            masks = [mask for mask in image.masks if mask.class_id in label_of]
            rows.append("\n" + json.dumps(self._task(image, masks, label_of, target)))
            count, kept = count + 1, kept + len(masks)
            left_out += len(image.masks) - len(masks)
        finish()
        return Written(self.kind, target.uri, count, kept, left_out, target.objects)

    def _config(self, label_of: Mapping[int | None, str]) -> str:
        tag, name = _CONTROL[self.segmentation]
        labels = "".join(
            f'    <Label value={quoteattr(label)} background="#{_hex(class_id)}"/>\n'
            for class_id, label in label_of.items()
            if class_id is not None
        )
        return (
            '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
            f'  <{tag} name="{name}" toName="image">\n{labels}  </{tag}>\n</View>\n'
        )

    def _task(
        self,
        image: LabelledImage,
        masks: Sequence[MaskRow],
        label_of: Mapping[int | None, str],
        target: Target,
    ) -> dict[str, Any]:
        prediction: dict[str, Any] = {
            "model_version": f"samseg {target.stamp}",
            "result": [
                region
                for mask in masks
                for region in self._regions(image, mask, label_of[mask.class_id])
            ],
        }
        if masks:
            prediction["score"] = round(sum(m.predicted_iou for m in masks) / len(masks), 5)
        data = {
            "image": self._address(image),
            "image_id": image.image_id,
            "key": image.key,
            KEY: dict(target.origin),
        }
        return {"data": data, "predictions": [prediction]}

    def _address(self, image: LabelledImage) -> str:
        if self.image_root is None:
            return image.uri
        return f"{self.image_root.rstrip('/')}/{quote(file_of(image))}"

    def _regions(self, image: LabelledImage, mask: MaskRow, label: str) -> Iterator[dict[str, Any]]:
        _, name = _CONTROL[self.segmentation]
        region = {
            "id": mask.mask_id,
            "from_name": name,
            "to_name": "image",
            "type": f"{name}labels",
            "original_width": image.width,
            "original_height": image.height,
            "image_rotation": 0,
            "score": round(mask.predicted_iou, 5),
        }
        pixels, labels = dense(mask.rle), {f"{name}labels": [label]}
        if self.segmentation == "rle":
            yield {**region, "value": {"format": "rle", "rle": brush_rle_of(pixels), **labels}}
            return
        for part, polygon in enumerate(polygons_of(pixels)):
            # percent of the image's sides
            points = (polygon * (100 / image.width, 100 / image.height)).round(4).tolist()
            value = {"points": points, "closed": True, **labels}
            yield {**region, "id": f"{mask.mask_id}-{part}", "value": value}


def _hex(class_id: int) -> str:
    return bytes(color_of(class_id)).hex()
