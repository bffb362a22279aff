import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from samseg.errors import ConfigError
from samseg.exporters import Png
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow
from samseg.masks.palette import color_of
from samseg.types import image_id_of

from .conftest import Memory


def square(y: int, x: int, side: int, class_id: int | None) -> MaskRow:
    pixels = np.zeros((40, 50), dtype=np.uint8, order="F")
    pixels[y : y + side, x : x + side] = 1
    rle = coco.encode(pixels)
    counts = {"size": rle["size"], "counts": rle["counts"].decode()}
    return MaskRow(f"{y}-{x}", class_id, (x, y, side, side), side * side, 0.9, counts)


def write(masks: list[MaskRow], classes: list[ClassRow], key: str = "a.jpg") -> dict[str, bytes]:
    target = Memory()
    Png().write([LabelledImage(image_id_of(key), key, 50, 40, "", masks)], classes, target)
    return target.kept


def test_smaller_masks_are_drawn_on_top_and_noise_is_0() -> None:
    masks = [square(5, 5, 6, 0), square(0, 0, 20, 2), square(30, 30, 4, -1), square(25, 0, 4, None)]
    png = Image.open(
        io.BytesIO(write(masks, [ClassRow(0, "a"), ClassRow(2, "b")])["images/a.jpg.png"])
    )
    expected = np.zeros((40, 50), dtype=np.uint8)
    expected[:20, :20] = 3
    expected[5:11, 5:11] = 1
    assert png.mode == "P"
    assert np.array_equal(np.asarray(png), expected)


def test_palette_has_the_shared_class_colours() -> None:
    kept = write([square(0, 0, 9, 1)], [ClassRow(0, "a"), ClassRow(1, "b")])
    png = Image.open(io.BytesIO(kept["images/a.jpg.png"])).convert("RGB")
    assert png.getpixel((3, 3)) == color_of(1)
    legend = json.loads(kept["classes.json"])
    assert [row["index"] for row in legend] == [0, 1, 2]
    assert legend[2] == {
        "index": 2,
        "class_id": 1,
        "name": "b",
        "color": "#{:02x}{:02x}{:02x}".format(*color_of(1)),
    }


@pytest.mark.parametrize(
    ("largest", "mode"), [(254, "P"), (255, "I;16"), (65_534, "I;16")], ids=str
)
def test_bit_depth_depends_on_the_largest_class_id(largest: int, mode: str) -> None:
    masks = [square(0, 0, 9, largest)]
    kept = write(masks, [ClassRow(0, "a"), ClassRow(largest, "b")])
    png = Image.open(io.BytesIO(kept["images/a.jpg.png"]))
    assert png.mode == mode
    assert np.asarray(png)[4, 4] == largest + 1


def test_more_classes_than_16_bits_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"65535.*kind: coco"):
        write([], [ClassRow(65_535, "a")])


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("a.jpg", "images/a.jpg.png"),
        ("2024/may/_DSC 01 (2).JPG", "images/2024/may/_DSC 01 (2).JPG.png"),
        ("äpfel/日本.webp", "images/äpfel/日本.webp.png"),
        *[
            (key, f"images/_/{image_id_of(key)}.png")
            for key in (
                "../a.jpg",
                "a/../b.jpg",
                "/a.jpg",
                "a//b.jpg",
                "a/",
                ".hidden",
                "_/a.jpg",
                "a.png/b.jpg",
                "a.PNG/b.jpg",
                "c:\\a.jpg",
                "a\u202egpj.exe",
                "a?b#c%2e%2e",
                "x" * 300,
                "/".join(["abc"] * 300),
            )
        ],
    ],
)
def test_names(key: str, name: str) -> None:
    assert set(write([], [], key)) == {"classes.json", name}


@given(st.lists(st.text(alphabet="ab/._-\\ é", max_size=8), unique=True, max_size=12))
def test_different_keys_never_share_a_name(keys: list[str]) -> None:
    target = Memory()
    images = [LabelledImage(image_id_of(key), key, 2, 2, "", []) for key in keys]
    Png().write(images, [], target)
    assert len(target.kept) == len(keys) + 1
    files = set(target.kept)
    folders = {name.rsplit("/", n)[0] for name in files for n in range(1, name.count("/") + 1)}
    assert not files & folders
