"""YOLO segmentation: a text file per image, a polygon per mask, `data.yaml`.

Read by Ultralytics and the trainers that follow its layout. A mask is one polygon here; use `coco`
where holes and parts have to stay apart.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import yaml

from samseg.csv_cells import plain_cell
from samseg.exporters.names import fallback_file_of, file_of
from samseg.exporters.pairing import put_paired
from samseg.exporters.selection import Selection
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow, Target, Written
from samseg.masks.painting import dense
from samseg.masks.polygons import joined, polygons_of

_IMAGES = "images"


class Yolo(Selection):
    """`labels/{path}.txt` per image, `data.yaml`, `train.txt`, `val.txt` and `images.csv`.

    A line of a label file is a class and a polygon, x and y from 0 to 1. Classes count from 0
    without gaps; `class_ids` in `data.yaml` has their class ids. A polygon follows the edges of the
    pixels. Bridges of zero width join its holes and parts, as in Ultralytics' own conversion of
    COCO. Masks may overlap.

    Images are expected at `images/{path}` and not copied. `{path}` is the path below the root of
    the lake (of a tar: once extracted into a folder of its name), so that a link to the lake will
    do. Ultralytics finds labels by replacing the folder `images` and the extension, so
    `_/{image_id}` replaces a path that is unsafe, has another folder `images`, or differs from an
    earlier one by its extension only. `images.csv` has the address of each image.

    By parts, each part has its own lists, and `data-000012.yaml` names those of the first twelve
    parts; the highest number is the newest. A line of text per image of a part is kept in memory.

    `train.txt` and `val.txt` are the sides of the split. If one has no images, `data.yaml` names
    the other for both.
    """

    kind: Literal["yolo"] = "yolo"

    def write(
        self, images: Iterable[LabelledImage], classes: Sequence[ClassRow], target: Target
    ) -> Written:
        """See `samseg.exporters.types.Format`."""
        index_of = {c.class_id: i for i, c in enumerate(classes)}
        lists: dict[str, list[str]] = {"train": [], "val": []}
        table = io.StringIO()
        addresses = csv.writer(table, lineterminator="\n")
        addresses.writerow(["file", "image_id", "uri"])
        kept = left_out = 0
        for image in images:
            lines = [
                _line(index_of[mask.class_id], mask)
                for mask in image.masks
                if mask.class_id in index_of
            ]
            file = _put_label(image, "".join(lines).encode(), target)
            lists[self.side_of(image)].append(f"./{_IMAGES}/{file}\n")
            row = (f"{_IMAGES}/{file}", image.image_id, image.uri)
            addresses.writerow(map(plain_cell, row))
            kept, left_out = kept + len(lines), left_out + len(image.masks) - len(lines)
        target.put(_of_part("images", "csv", target.part), table.getvalue().encode())
        for split, names in lists.items():
            target.put(_of_part(split, "txt", target.part), "".join(names).encode())
        if not target.part:
            filled = [f"{split}.txt" for split, names in lists.items() if names] or ["train.txt"]
            target.put("data.yaml", _data(classes, filled[0], filled[-1]))
        count = sum(map(len, lists.values()))
        return Written(self.kind, target.uri, count, kept, left_out, target.objects)

    def index(self, classes: Sequence[ClassRow], target: Target, parts: Sequence[str]) -> None:
        """See `samseg.exporters.types.Format`."""
        lists = {split: [_of_part(split, "txt", part) for part in parts] for split in self._sides()}
        # one list with an image is enough, and in most folders the first one has some
        filled = [names for names in lists.values() if any(map(target.read, names))]
        named = filled or [*lists.values()]
        target.offer(f"data-{len(parts):06d}.yaml", _data(classes, named[0], named[-1]))

    def _sides(self) -> list[str]:
        """Return the sides of the split that can have images."""
        if self.split != "all":
            return [self.split]
        shares = {"train": 1 - self.validation, "val": self.validation}
        return [split for split, share in shares.items() if share]


def _of_part(name: str, extension: str, part: str) -> str:
    return f"{name}-{part}.{extension}" if part else f"{name}.{extension}"


def _put_label(image: LabelledImage, label: bytes, target: Target) -> str:
    """Put the label of an image; return where the image is expected below `images/`."""
    file = file_of(image)
    if f"/{_IMAGES}/" in f"/{file}":  # Ultralytics would replace that folder
        target.put(f"labels/_/{image.image_id}.txt", label)
        return fallback_file_of(image)
    name = put_paired(image, label, target, "labels", ".txt")
    return fallback_file_of(image) if name.startswith("_/") else file


def _line(index: int, mask: MaskRow) -> str:
    pixels = dense(mask.rle)
    height, width = pixels.shape
    polygon = joined(polygons_of(pixels)) / np.array([width, height])
    return f"{index} {' '.join(f'{value:.6g}' for value in polygon.ravel())}\n"


def _data(classes: Sequence[ClassRow], train: str | list[str], val: str | list[str]) -> bytes:
    tree = {
        "train": train if isinstance(train, str) else [*train],
        "val": val if isinstance(val, str) else [*val],  # a copy: YAML refers to equal objects
        "names": {i: c.name for i, c in enumerate(classes)},
        "class_ids": [c.class_id for c in classes],
    }
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).encode()
