import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from samseg.exporters import CocoPanoptic
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow

from .conftest import Memory

CLASSES = [ClassRow(i, f"class {i}") for i in range(3)]


def rectangle(x: int, y: int, w: int, h: int, class_id: int | None, name: str = "m") -> MaskRow:
    pixels = np.zeros((40, 50), dtype=np.uint8, order="F")
    pixels[y : y + h, x : x + w] = 1
    rle = coco.encode(pixels)
    counts = {"size": rle["size"], "counts": rle["counts"].decode()}
    return MaskRow(name, class_id, (x, y, w, h), int(pixels.sum()), 0.75, counts)


def write(*masks: list[MaskRow], per_file: int = 9) -> dict[str, bytes]:
    target = Memory()
    images = [
        LabelledImage(f"i{n}", f"a/{n}.jpg", 50, 40, f"s3://lake/a/{n}.jpg", each)
        for n, each in enumerate(masks)
    ]
    CocoPanoptic(images_per_file=per_file).write(images, CLASSES, target)
    return target.kept


def check(kept: dict[str, bytes], name: str = "panoptic-00000.json") -> list[dict]:
    """The rules of the format: every segment has its pixels, area and box, and nothing else."""
    file = json.loads(kept[name])
    categories = {c["id"] for c in file["categories"]}
    images = {i["id"]: i for i in file["images"]}
    assert len(images) == len(file["images"]) == len(file["annotations"])
    for annotation in file["annotations"]:
        image = images[annotation["image_id"]]
        png = Image.open(io.BytesIO(kept[f"panoptic/{annotation['file_name']}"]))
        assert png.mode == "RGB" and png.size == (image["width"], image["height"])
        red, green, blue = np.asarray(png).astype(int).transpose(2, 0, 1)
        index = red + 256 * green + 256**2 * blue
        segments = {s["id"]: s for s in annotation["segments_info"]}
        assert len(segments) == len(annotation["segments_info"])
        assert {0, *np.unique(index)} == {0, *segments}
        for i, segment in segments.items():
            y, x = np.nonzero(index == i)
            x0, y0 = int(x.min()), int(y.min())
            box = [x0, y0, int(x.max()) + 1 - x0, int(y.max()) + 1 - y0]
            assert (segment["area"], segment["bbox"]) == (len(y), box)
            assert segment["category_id"] in categories and segment["iscrowd"] == 0
    return file["annotations"]


def test_the_smallest_mask_has_the_pixel() -> None:
    large, small = rectangle(0, 0, 20, 20, 2, "i0-0000"), rectangle(15, 5, 10, 10, 0, "i0-0001")
    (annotation,) = check(write([large, small]))
    a, b = annotation["segments_info"]
    assert (a["mask_id"], a["category_id"], a["area"]) == ("i0-0000", 3, 350)
    assert (b["mask_id"], b["category_id"], b["area"]) == ("i0-0001", 1, 100)
    assert annotation["file_name"] == "a/0.png"


def test_masks_without_a_class_or_a_pixel_are_left_out() -> None:
    masks = [
        rectangle(0, 0, 4, 4, 1),
        rectangle(0, 0, 2, 4, 0),
        rectangle(2, 0, 2, 4, 0),
        rectangle(9, 9, 3, 3, -1),
        rectangle(20, 9, 3, 3, None),
    ]
    kept = write(masks)
    (annotation,) = check(kept)
    assert [s["id"] for s in annotation["segments_info"]] == [2, 3]
    assert json.loads(kept["panoptic-00000.json"])["info"]["masks_left_out"] == 3


def test_more_segments_than_one_channel_counts() -> None:
    masks = [rectangle(i % 50, i // 50, 1, 1, 0) for i in range(300)]
    (annotation,) = check(write(masks))
    assert [s["id"] for s in annotation["segments_info"]] == list(range(1, 301))


@pytest.mark.parametrize(("images", "sizes"), [(5, [2, 2, 1]), (4, [2, 2])])
def test_files_split(images: int, sizes: list[int]) -> None:
    kept = write(*[[rectangle(0, 0, i + 1, 2, 0)] for i in range(images)], per_file=2)
    names = sorted(name for name in kept if name.endswith(".json"))
    assert [len(check(kept, name)) for name in names] == sizes


BOXES = st.tuples(st.integers(0, 45), st.integers(0, 35), st.integers(1, 30), st.integers(1, 30))


@given(st.lists(st.tuples(BOXES, st.sampled_from([None, -1, 0, 1, 2])), max_size=8))
@settings(deadline=None, max_examples=50)
def test_any_overlap_keeps_the_rules(boxes: list) -> None:
    check(write([rectangle(*box, class_id) for box, class_id in boxes]))


def test_a_png_is_found_by_its_name() -> None:
    target = Memory()
    CocoPanoptic().write([LabelledImage("i", "a/b.png", 5, 4, "", ())], [], target)
    (annotation,) = check(target.kept)
    assert annotation["file_name"] == "a/b.png" and "panoptic/a/b.png" in target.kept
