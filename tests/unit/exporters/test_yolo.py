import csv
import io
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from samseg.exporters import Yolo
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow
from samseg.types import image_id_of

from .conftest import Memory

CLASSES = [ClassRow(2, "apples: red"), ClassRow(7, "crates")]


def masked(pixels: np.ndarray, class_id: int | None) -> MaskRow:
    rle = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    counts = {"size": rle["size"], "counts": rle["counts"].decode()}
    return MaskRow("m", class_id, (0, 0, 1, 1), int(pixels.sum()), 0.75, counts)


def image(key: str, masks: Sequence[MaskRow] = (), uri: str = "") -> LabelledImage:
    return LabelledImage(image_id_of(key), key, 50, 40, uri or f"s3://lake/{key}", masks)


def write(images: list[LabelledImage], validation: float = 0.1) -> dict[str, bytes]:
    target = Memory()
    Yolo(validation=validation).write(images, CLASSES, target)
    return target.kept


def polygons(payload: bytes, width: int, height: int) -> list[tuple[int, np.ndarray]]:
    """Parse a label file as trainers do."""
    rows = [line.split() for line in payload.decode().splitlines()]
    assert all(len(row) >= 7 and len(row) % 2 == 1 for row in rows)
    scale = (width, height)
    return [(int(c), np.array(xy, dtype=float).reshape(-1, 2) * scale) for c, *xy in rows]


def label_of(path: str) -> str:
    """Where Ultralytics looks for an image's label."""
    return "/labels/".join(path.rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt"


def test_classes_are_dense_and_masks_without_one_are_left_out() -> None:
    square = np.zeros((40, 50), dtype=bool)
    square[10:20, 5:30] = True
    kept = write([image("a/b.jpg", [masked(square, c) for c in (7, -1, None, 2)])])
    found = polygons(kept["labels/a/b.txt"], 50, 40)
    assert [index for index, _ in found] == [1, 0]
    assert np.allclose(found[0][1], [[5, 10], [30, 10], [30, 20], [5, 20]], atol=1e-3)
    data = yaml.safe_load(kept["data.yaml"])
    assert data["names"] == {0: "apples: red", 1: "crates"}
    assert data["class_ids"] == [2, 7]


KEYS = {
    "a.jpg": "a.jpg",
    "a.png": f"_/{image_id_of('a.png')}.png",
    "may/ü (1).JPG": "may/ü (1).JPG",
    "images/a.jpg": f"_/{image_id_of('images/a.jpg')}.jpg",
    "x/images/a.jpg": f"_/{image_id_of('x/images/a.jpg')}.jpg",
    "my images/a.jpg": "my images/a.jpg",
    "../a.jpg": f"_/{image_id_of('../a.jpg')}.jpg",
    "a b": f"_/{image_id_of('a b')}.jpg",
    "a/b.x?y": f"_/{image_id_of('a/b.x?y')}.jpg",
}


def test_each_listed_image_has_its_label_and_address() -> None:
    def with_mask(i: int, key: str, uri: str = "") -> LabelledImage:
        pixels = np.zeros((40, 50), dtype=bool)
        pixels[: i + 1] = True
        return image(key, [masked(pixels, 2)], uri)

    tar = with_mask(30, "0.tar/a.jpg", "tar://a.jpg::s3://lake/0.tar")
    kept = write([*(with_mask(i, key) for i, key in enumerate(KEYS)), tar])
    listed = [*kept["train.txt"].decode().splitlines(), *kept["val.txt"].decode().splitlines()]
    files = [*KEYS.values(), "0/a.jpg"]
    assert sorted(listed) == sorted(f"./images/{file}" for file in files)
    labels = {f"./{name}" for name in kept if name.startswith("labels/")}
    assert {label_of(path) for path in listed} == labels and len(labels) == len(files)
    rows = list(csv.DictReader(io.StringIO(kept["images.csv"].decode())))
    assert [row["file"] for row in rows] == [f"images/{file}" for file in files]
    assert rows[-1]["uri"] == "tar://a.jpg::s3://lake/0.tar"
    assert [row["image_id"] for row in rows[:-1]] == [image_id_of(key) for key in KEYS]


def test_images_that_differ_by_their_extension_share_equal_labels() -> None:
    kept = write([image("a.jpg"), image("a.png")])
    listed = [*kept["train.txt"].decode().splitlines(), *kept["val.txt"].decode().splitlines()]
    assert sorted(listed) == ["./images/a.jpg", "./images/a.png"]
    assert [name for name in kept if name.startswith("labels/")] == ["labels/a.txt"]


def test_an_image_stays_on_its_side_of_the_split() -> None:
    def validation(count: int) -> set[str]:
        return {*write([image(f"{i}.jpg") for i in range(count)], 0.3)["val.txt"].split()}

    few, many = validation(50), validation(100)
    assert few < many and 15 <= len(many) <= 45


@pytest.mark.parametrize(
    ("fraction", "images", "named"),
    [
        (0, 3, ("train.txt", "train.txt")),
        (1, 3, ("val.txt", "val.txt")),
        (0.5, 40, ("train.txt", "val.txt")),
        (0.5, 0, ("train.txt", "train.txt")),
    ],
)
def test_no_empty_list_is_named(fraction: float, images: int, named: tuple[str, str]) -> None:
    kept = write([image(f"{i}.jpg") for i in range(images)], fraction)
    data = yaml.safe_load(kept["data.yaml"])
    assert (data["train"], data["val"]) == named


DISCS = st.lists(
    st.tuples(st.integers(10, 390), st.integers(10, 290), st.integers(20, 90), st.integers(4, 9)),
    min_size=1,
    max_size=5,
)


@given(DISCS)
@settings(deadline=None, max_examples=30)
def test_rings_in_several_parts_lose_little(discs: list[tuple[int, int, int, int]]) -> None:
    canvas = np.zeros((300, 400), dtype=np.uint8)
    for x, y, radius, hole in discs:
        cv2.circle(canvas, (x, y), radius, 1, -1)
        cv2.circle(canvas, (x, y), hole, 0, -1)
    record = LabelledImage("i", "a.jpg", 400, 300, "", [masked(canvas, 2)])
    ((_, polygon),) = polygons(write([record])["labels/a.txt"], 400, 300)
    again = coco.decode(coco.frPyObjects([polygon.ravel().tolist()], 300, 400))[..., 0]
    assert (canvas & again).sum() >= 0.98 * (canvas | again).sum()
