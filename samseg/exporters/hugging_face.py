"""A dataset folder for Hugging Face: Parquet files and a card.

Read by `datasets.load_dataset(folder)` and the dataset viewer. Photos are referred to by their
address and not copied: a lake is too large to be written again, and its owner may not share it.
"""

import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import Field

from samseg.exporters.names import labels_of, numbered
from samseg.exporters.selection import Selection
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow, Target, Written

_MASK = pa.struct(
    [
        ("mask_id", pa.string()),
        ("label", pa.int64()),
        ("class_id", pa.int64()),
        ("score", pa.float32()),
        ("area", pa.int64()),
        ("bbox", pa.list_(pa.int64())),
        ("segmentation", pa.struct([("size", pa.list_(pa.int64())), ("counts", pa.string())])),
    ]
)
_COLUMNS = [
    ("image_id", pa.string()),
    ("key", pa.string()),
    ("image_url", pa.string()),
    ("width", pa.int64()),
    ("height", pa.int64()),
    ("masks", pa.list_(_MASK)),
]

_SPLITS = {"train": "train", "val": "validation"}
"""Name of each side of the split."""

_CARD = """\
# Masks and classes by samseg

One row per image. `masks` has its masks: `segmentation` is a COCO compressed RLE of the upright
image (`pycocotools.mask.decode`), `bbox` is x, y, width, height in px, `score` is the predicted
IoU, `label` counts the classes from 0 without gaps, and `class_id` is the id of the class in
samseg. Masks may overlap. The photos are not part of this dataset: `image_url` is the address of
each.

```python
from datasets import load_dataset
from pycocotools import mask

row = load_dataset("FOLDER", split="train")[0]
dense = mask.decode(row["masks"][0]["segmentation"])
```

The masks were made by Segment Anything, and the classes by clustering, without labels: their names,
where they have one, were given by people.
"""


class HuggingFace(Selection):
    """`README.md`, the card, `data/train-00000.parquet` ..., `data/validation-00000.parquet` ...

    `datasets` takes the splits from the names of the files and cannot read files without rows, so a
    side without images has none. Masks may overlap; noise and unassigned masks are left out.

    Attributes:
        images_per_file: maximum images in one file; bounds its size and the memory to write it.
    """

    kind: Literal["hugging_face"] = "hugging_face"
    images_per_file: int = Field(1_000, ge=1)

    def write(
        self, images: Iterable[LabelledImage], classes: Sequence[ClassRow], target: Target
    ) -> Written:
        """See `samseg.exporters.types.Format`."""
        index_of = {c.class_id: i for i, c in enumerate(classes)}
        features = _features(classes)
        target.put("README.md", _card())
        rows: dict[str, list[dict[str, Any]]] = {"train": [], "val": []}
        files = {"train": 0, "val": 0}
        count = kept = left_out = 0

        def finish(side: str) -> None:
            name = f"data/{_SPLITS[side]}-{numbered(target, files[side])}.parquet"
            target.put(name, _parquet(rows[side], features))
            rows[side], files[side] = [], files[side] + 1

        for image in images:
            masks = [(index_of[m.class_id], m) for m in image.masks if m.class_id in index_of]
            side = self.side_of(image)
            rows[side].append(_row(image, masks))
            count, kept = count + 1, kept + len(masks)
            left_out += len(image.masks) - len(masks)
            if len(rows[side]) == self.images_per_file:
                finish(side)
        for rest in filter(rows.get, _SPLITS):
            finish(rest)
        return Written(self.kind, target.uri, count, kept, left_out, target.objects)


def _row(image: LabelledImage, masks: Sequence[tuple[int, MaskRow]]) -> dict[str, Any]:
    return {
        "image_id": image.image_id,
        "key": image.key,
        "image_url": image.uri,
        "width": image.width,
        "height": image.height,
        "masks": [
            {
                "mask_id": mask.mask_id,
                "label": label,
                "class_id": mask.class_id,
                "score": mask.predicted_iou,
                "area": mask.area,
                "bbox": list(mask.bbox),
                "segmentation": {"size": list(mask.rle["size"]), "counts": mask.rle["counts"]},
            }
            for label, mask in masks
        ],
    }


def _parquet(rows: list[dict[str, Any]], features: dict[str, Any]) -> bytes:
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pa.schema(_COLUMNS, metadata=metadata)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def _features(classes: Sequence[ClassRow]) -> dict[str, Any]:
    """Return the columns, their types named so that `datasets` 2.14 to 5 know them."""

    def value(dtype: str) -> dict[str, str]:
        return {"dtype": dtype, "_type": "Value"}

    numbers = {"feature": value("int64"), "_type": "Sequence"}
    names = [*labels_of(classes).values()]
    mask = {
        "mask_id": value("string"),
        "label": {"names": names, "_type": "ClassLabel"} if names else value("int64"),
        "class_id": value("int64"),
        "score": value("float32"),
        "area": value("int64"),
        "bbox": numbers,
        "segmentation": {"size": numbers, "counts": value("string")},
    }
    return {
        "image_id": value("string"),
        "key": value("string"),
        "image_url": value("string"),
        "width": value("int64"),
        "height": value("int64"),
        "masks": [mask],
    }


def _card() -> bytes:
    head = {
        "pretty_name": "Masks and classes by samseg",
        "task_categories": ["image-segmentation"],
        "tags": ["segment-anything", "samseg"],
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n{_CARD}".encode()
