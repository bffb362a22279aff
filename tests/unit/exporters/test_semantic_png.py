import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from samseg.errors import ConfigError
from samseg.exporters import SemanticPng
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow
from samseg.masks.palette import color_of
from samseg.types import image_id_of

from .conftest import Memory


def square(side: int, class_id: int | None) -> MaskRow:
    pixels = np.zeros((8, 10), dtype=np.uint8, order="F")
    pixels[:side, :side] = 1
    rle = coco.encode(pixels)
    shape = {"size": rle["size"], "counts": rle["counts"].decode()}
    return MaskRow(f"m-{side}", class_id, (0, 0, side, side), side * side, 0.5, shape)


def write(masks: list[MaskRow], classes: list[ClassRow], key: str = "a.jpg") -> dict[str, bytes]:
    target = Memory()
    image = LabelledImage(image_id_of(key), key, 10, 8, f"s3://lake/{key}", masks)
    SemanticPng().write([image], classes, target)
    return target.kept


def pixels_of(payload: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(payload)))


def test_classes_have_no_gaps_and_the_smallest_mask_is_on_top() -> None:
    masks = [square(2, 4), square(6, 9), square(8, -1), square(7, None)]
    kept = write(masks, [ClassRow(4, "apples"), ClassRow(9, "crates")])
    wanted = np.full((8, 10), 255)
    wanted[:6, :6] = 1
    wanted[:2, :2] = 0
    assert np.array_equal(pixels_of(kept["annotations/a.png"]), wanted)
    legend = json.loads(kept["legend.json"])
    assert [(row["index"], row["class_id"]) for row in legend] == [(0, 4), (1, 9), (255, None)]
    assert legend[0]["color"] == f"#{bytes(color_of(4)).hex()}"


@pytest.mark.parametrize(
    ("count", "none", "dtype"), [(255, 255, np.uint8), (256, 65535, np.uint16)], ids=str
)
def test_many_classes_have_16_bits(count: int, none: int, dtype: type) -> None:
    classes = [ClassRow(i, str(i)) for i in range(count)]
    pixels = pixels_of(write([square(3, count - 1)], classes)["annotations/a.png"])
    assert (pixels[0, 0], pixels[7, 9]) == (count - 1, none)
    assert np.asarray(pixels).dtype.itemsize >= np.dtype(dtype).itemsize


def test_more_classes_than_16_bits_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"65536 classes.*kind: coco"):
        write([], [ClassRow(i, "") for i in range(65536)])


def test_maps_are_named_like_the_photo() -> None:
    assert "annotations/a/b.png" in write([], [], "a/b.webp")
