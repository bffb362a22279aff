import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from pycocotools import mask as coco

from samseg.exporters import LabelStudio
from samseg.exporters.brush import brush_rle_of
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow
from samseg.masks.palette import color_of

from .conftest import Memory

CLASSES = [ClassRow(1, 'a "quoted" <name>'), ClassRow(4, "crates"), ClassRow(6, "crates")]
RING = np.zeros((40, 50), dtype=bool)
RING[5:30, 10:40] = True
RING[12:20, 20:30] = False
PARTS = np.zeros((40, 50), dtype=bool)
PARTS[0:8, 0:8] = PARTS[30:40, 45:50] = True


def masked(pixels: np.ndarray, class_id: int | None, mask_id: str = "i-0000") -> MaskRow:
    rle = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    counts = {"size": rle["size"], "counts": rle["counts"].decode()}
    return MaskRow(mask_id, class_id, (0, 0, 1, 1), int(pixels.sum()), 0.75, counts)


def image(*masks: MaskRow, key: str = "a/b.jpg") -> LabelledImage:
    return LabelledImage("i", key, 50, 40, f"s3://lake/{key}", masks)


def write(exporter: LabelStudio, *images: LabelledImage) -> dict[str, bytes]:
    target = Memory()
    exporter.write(images, CLASSES, target)
    return target.kept


def results(kept: dict[str, bytes], control: str) -> list[dict]:
    """Return the regions of the first task, checked against the labelling interface."""
    view = ET.fromstring(kept["config.xml"].decode())
    tags = {tag.get("name"): tag for tag in view if tag.get("toName")}
    labels = {label.get("value") for label in tags[control]}
    (task, *_) = json.loads(kept["tasks-00000.json"])
    assert view.find("Image").get("value") == "$image" and "image" in task["data"]
    (prediction,) = task["predictions"]
    for region in prediction["result"]:
        assert region["from_name"] == control and region["to_name"] == view.find("Image").get(
            "name"
        )
        assert region["type"] == tags[control].tag.lower()
        assert set(region["value"][region["type"]]) <= labels
        assert (region["original_width"], region["original_height"]) == (50, 40)
    return prediction["result"]


def test_brush_masks() -> None:
    masks = [masked(RING, 1), masked(PARTS, 4, "i-0001"), masked(RING, -1), masked(RING, None)]
    first, second = results(write(LabelStudio(), image(*masks)), "brush")
    assert (first["id"], first["score"]) == ("i-0000", 0.75)
    assert first["value"]["brushlabels"] == ['a "quoted" <name>']
    assert first["value"]["rle"] == brush_rle_of(RING)
    assert second["value"]["rle"] == brush_rle_of(PARTS)


def test_polygons_have_a_region_per_part() -> None:
    masks = [masked(RING, 1), masked(PARTS, 4, "i-0001")]
    kept = write(LabelStudio(segmentation="polygons"), image(*masks))
    ring, *parts = results(kept, "polygon")
    assert [region["id"] for region in parts] == ["i-0001-0", "i-0001-1"]
    drawn = []
    for region in (ring, *parts):
        points = np.array(region["value"]["points"]) * (50, 40) / 100
        drawn.append(coco.decode(coco.frPyObjects([points.ravel().tolist()], 40, 50))[..., 0])
    assert np.array_equal(drawn[0], RING)
    assert np.array_equal(drawn[1] | drawn[2], PARTS)


def test_labels_are_distinct_and_coloured() -> None:
    view = ET.fromstring(write(LabelStudio(), image())["config.xml"].decode())
    labels = [(label.get("value"), label.get("background")) for label in view.iter("Label")]
    assert [name for name, _ in labels] == ['a "quoted" <name>', "crates (4)", "crates (6)"]
    assert labels[0][1] == "#{:02x}{:02x}{:02x}".format(*color_of(1))


@pytest.mark.parametrize(
    ("root", "address"),
    [
        (None, "s3://lake/ü/a b.jpg"),
        ("https://photos.example/lake/", "https://photos.example/lake/%C3%BC/a%20b.jpg"),
        ("/data/local-files/?d=lake", "/data/local-files/?d=lake/%C3%BC/a%20b.jpg"),
    ],
)
def test_addresses(root: str | None, address: str) -> None:
    kept = write(LabelStudio(image_root=root), image(key="ü/a b.jpg"))
    assert json.loads(kept["tasks-00000.json"])[0]["data"]["image"] == address


@pytest.mark.parametrize(("images", "sizes"), [(5, [2, 2, 1]), (4, [2, 2]), (0, [0])])
def test_files_split(images: int, sizes: list[int]) -> None:
    kept = write(LabelStudio(images_per_file=2), *[image()] * images)
    files = [json.loads(kept[name]) for name in sorted(kept) if name.startswith("tasks")]
    assert [len(file) for file in files] == sizes
