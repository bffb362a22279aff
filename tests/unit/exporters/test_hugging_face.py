import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from samseg.exporters import HuggingFace
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow
from samseg.types import image_id_of

from .conftest import Memory

CLASSES = [ClassRow(2, "apples"), ClassRow(7, "apples"), ClassRow(9, "crates")]


def image(key: str, pixels: np.ndarray, *class_ids: int | None) -> LabelledImage:
    rle = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    height, width = pixels.shape
    shape = {"size": rle["size"], "counts": rle["counts"].decode()}
    masks = [
        MaskRow(f"{key}-{c}", c, (0, 0, width, height), int(pixels.sum()), 0.5, shape)
        for c in class_ids
    ]
    return LabelledImage(image_id_of(key), key, width, height, f"s3://lake/{key}", masks)


def write(images: list[LabelledImage], part: str = "", **options) -> dict[str, bytes]:
    target = Memory(part)
    HuggingFace(**options).write(images, CLASSES, target)
    return target.kept


def rows_of(payload: bytes) -> list[dict]:
    return pq.read_table(io.BytesIO(payload)).to_pylist()


@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))).filter(np.any))
@settings(deadline=None, max_examples=30)
def test_masks_of_any_shape_are_exact(pixels: np.ndarray) -> None:
    kept = write([image("a.jpg", pixels, 7)], validation=0)
    (row,) = rows_of(kept["data/train-00000.parquet"])
    (mask,) = row["masks"]
    assert np.array_equal(coco.decode(mask["segmentation"]), pixels)


def test_masks_have_labels_and_photos_are_named() -> None:
    kept = write([image("a.jpg", np.ones((4, 5)), 7, -1, 2, None)], validation=0)
    file = pq.ParquetFile(io.BytesIO(kept["data/train-00000.parquet"]))
    features = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
    label = features["masks"][0]["label"]
    assert label == {"names": ["apples (2)", "apples (7)", "crates"], "_type": "ClassLabel"}
    assert features.keys() == {*file.schema_arrow.names}
    (row,) = file.read().to_pylist()
    assert [(m["label"], m["class_id"]) for m in row["masks"]] == [(1, 7), (0, 2)]
    assert row["image_url"] == "s3://lake/a.jpg" and row["image_id"] == image_id_of("a.jpg")


@pytest.mark.parametrize("part", ["", "5c4e"])
def test_no_file_is_empty(part: str) -> None:
    images = [image(f"{i}.jpg", np.ones((2, 2)), 2) for i in range(20)]
    kept = write(images, part, validation=0.5, images_per_file=3)
    prefix = f"{part}-" if part else ""
    files = {name: len(rows_of(kept[name])) for name in kept if name.startswith("data/")}
    assert sum(files.values()) == 20 and set(files.values()) <= {1, 2, 3}
    for split in ("train", "validation"):
        count = sum(name.startswith(f"data/{split}-") for name in files)
        names = [f"data/{split}-{prefix}{i:05d}.parquet" for i in range(count)]
        assert count >= 2 and {*names} <= files.keys()
    assert [*write([], part)] == ["README.md"]


def test_the_card_has_a_header() -> None:
    _, header, text = write([])["README.md"].decode().split("---\n", 2)
    assert yaml.safe_load(header)["task_categories"] == ["image-segmentation"]
    assert "load_dataset" in text
