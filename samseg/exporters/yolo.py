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
from pydantic import Field

from samseg.exporters.names import file_of, is_safe, number_of
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow, Target, Written
from samseg.masks.painting import dense
from samseg.masks.polygons import joined, polygons_of
from samseg.spec import Spec

_IMAGES = "images"


class Yolo(Spec):
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

    A line of text per image is kept in memory.

    Attributes:
        validation: fraction of the images in `val.txt`, chosen by a hash of the image id, so that
            an image is on the same side in each export. If one list were empty, `data.yaml` names
            the other for both.
    """

    kind: Literal["yolo"] = "yolo"
    validation: float = Field(0.1, ge=0, le=1)

    def write(
        self, images: Iterable[LabelledImage], classes: Sequence[ClassRow], target: Target
    ) -> Written:
        """See `samseg.exporters.types.Format`."""
        index_of = {c.class_id: i for i, c in enumerate(classes)}
        lists: dict[str, list[str]] = {"train": [], "val": []}
        table = io.StringIO()
        addresses = csv.writer(table, lineterminator="\n")
        addresses.writerow(["file", "image_id", "uri"])
        used: set[str] = set()
        kept = left_out = 0
        for image in images:
            file = _file(image, used)
            label = _without_extension(file)
            used.add(label)
            lines = [
                _line(index_of[mask.class_id], mask)
                for mask in image.masks
                if mask.class_id in index_of
            ]
            target.put(f"labels/{label}.txt", "".join(lines).encode())
            split = "val" if number_of(image.image_id) < self.validation * 2**53 else "train"
            lists[split].append(f"./{_IMAGES}/{file}\n")
            addresses.writerow([f"{_IMAGES}/{file}", image.image_id, image.uri])
            kept, left_out = kept + len(lines), left_out + len(image.masks) - len(lines)
        target.put("images.csv", table.getvalue().encode())
        for split, names in lists.items():
            target.put(f"{split}.txt", "".join(names).encode())
        filled = [split for split, names in lists.items() if names] or ["train"]
        target.put("data.yaml", _data(classes, f"{filled[0]}.txt", f"{filled[-1]}.txt"))
        count = sum(map(len, lists.values()))
        return Written(self.kind, target.uri, count, kept, left_out, target.objects)


def _file(image: LabelledImage, used: set[str]) -> str:
    """Return where an image is expected below `images/`; its label must not be used already."""
    file = file_of(image)
    name = file.rpartition("/")[2]
    unclear = f"/{_IMAGES}/" in f"/{file}" or "." not in name
    if unclear or not is_safe(file) or _without_extension(file) in used:
        extension = name.rpartition(".")[2]
        safe = extension if extension.isascii() and extension.isalnum() else "jpg"
        return f"_/{image.image_id}.{safe}"
    return file


def _without_extension(file: str) -> str:
    return file.rpartition(".")[0]


def _line(index: int, mask: MaskRow) -> str:
    pixels = dense(mask.rle)
    height, width = pixels.shape
    polygon = joined(polygons_of(pixels)) / np.array([width, height])
    return f"{index} {' '.join(f'{value:.6g}' for value in polygon.ravel())}\n"


def _data(classes: Sequence[ClassRow], train: str, val: str) -> bytes:
    tree = {
        "train": train,
        "val": val,
        "names": {i: c.name for i, c in enumerate(classes)},
        "class_ids": [c.class_id for c in classes],
    }
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).encode()
