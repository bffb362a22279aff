import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco
from pycocotools.coco import COCO

from samseg.exporters import Coco
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow


class Folder:
    stamp, origin = "2030-01-01", {}
    part = ""

    def __init__(self, path: Path):
        self.path = path
        self.uri = str(path)
        self.objects = 0

    def put(self, name: str, payload: bytes) -> None:
        (self.path / name).write_bytes(payload)
        self.objects += 1


class Memory:
    uri, stamp, part, objects, origin = "memory://", "s", "", 1, {}
    payload = b""

    def put(self, name: str, payload: bytes) -> None:
        self.payload = payload


def disc(r: int, class_id: int | None, name: str) -> tuple[MaskRow, np.ndarray]:
    y, x = np.mgrid[:40, :50]
    pixels = (y - 15) ** 2 + (x - 25) ** 2 < r * r
    rle: dict[str, Any] = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    box = tuple(int(v) for v in coco.toBbox(rle))
    rle["counts"] = rle["counts"].decode()
    return MaskRow(name, class_id, box, int(pixels.sum()), 0.875, rle), pixels  # type: ignore


def test_pycocotools_reads_every_mask_back(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (big, big_pixels), (small, small_pixels) = disc(12, 4, "m-0"), disc(5, 0, "m-1")
    noise, _ = disc(3, -1, "m-2")
    image = LabelledImage("id0", "a/ü.jpg", 50, 40, "s3://lake/a/ü.jpg", [big, small, noise])
    classes = [ClassRow(0, "apples"), ClassRow(4, "crates")]
    written = Coco().write([image], classes, Folder(tmp_path))
    assert (written.masks, written.left_out, written.objects) == (2, 1, 1)

    loaded = COCO(tmp_path / "instances-00000.json")
    assert {c["id"]: c["name"] for c in loaded.loadCats(loaded.getCatIds())} == {
        1: "apples",
        5: "crates",
    }
    (record,) = loaded.loadImgs(loaded.getImgIds())
    assert (record["file_name"], record["width"], record["height"]) == ("a/ü.jpg", 50, 40)
    assert record["coco_url"] == "s3://lake/a/ü.jpg"
    for category, pixels, mask in ((5, big_pixels, big), (1, small_pixels, small)):
        (annotation,) = loaded.loadAnns(loaded.getAnnIds(catIds=[category]))
        assert np.array_equal(loaded.annToMask(annotation).astype(bool), pixels)
        assert annotation["bbox"] == list(mask.bbox) and annotation["area"] == mask.area
        assert annotation["mask_id"] == mask.mask_id and annotation["score"] == 0.875
        assert annotation["iscrowd"] == 0
    capsys.readouterr()


def test_noise_is_category_0_when_wanted(tmp_path: Path) -> None:
    image = LabelledImage(
        "id0", "a.jpg", 50, 40, "s3://lake", [disc(3, -1, "m-0")[0], disc(4, None, "m-1")[0]]
    )
    written = Coco(noise=True).write([image], [ClassRow(0, "apples")], Folder(tmp_path))
    assert (written.masks, written.left_out) == (1, 1)
    file = json.loads((tmp_path / "instances-00000.json").read_text())
    first = {"id": 0, "name": "noise", "supercategory": "samseg", "class_id": -1}
    assert file["categories"][0] == first
    assert [a["category_id"] for a in file["annotations"]] == [0]
    assert file["info"]["masks_left_out"] == 1


@pytest.mark.parametrize(("images", "per_file", "sizes"), [(5, 2, [2, 2, 1]), (4, 2, [2, 2])])
def test_files_split_and_concatenate(
    tmp_path: Path, images: int, per_file: int, sizes: list[int]
) -> None:
    made = [
        LabelledImage(
            f"id{i}", f"{i}.jpg", 50, 40, "", [disc(5, 0, f"id{i}-{j}")[0] for j in range(i)]
        )
        for i in range(images)
    ]
    Coco(images_per_file=per_file).write(made, [ClassRow(0, "apples")], Folder(tmp_path))
    files = [json.loads(p.read_text()) for p in sorted(tmp_path.iterdir())]
    assert [len(f["images"]) for f in files] == sizes
    for records in ("images", "annotations"):
        ids = [record["id"] for f in files for record in f[records]]
        assert len(set(ids)) == len(ids) and all(0 <= i < 1 << 53 for i in ids)
    for file in files:
        assert {a["image_id"] for a in file["annotations"]} <= {i["id"] for i in file["images"]}
        assert file["categories"] == files[0]["categories"]


def test_ids_do_not_depend_on_other_images(tmp_path: Path) -> None:
    made = [
        LabelledImage(f"id{i}", f"{i}.jpg", 50, 40, "", [disc(5, 0, f"id{i}-0")[0]]) for i in (0, 1)
    ]
    records = []
    for name, images in (("one", made[1:]), ("both", made)):
        (tmp_path / name).mkdir()
        Coco().write(images, [ClassRow(0, "apples")], Folder(tmp_path / name))
        file = json.loads((tmp_path / name / "instances-00000.json").read_text())
        records.append((file["images"][-1], file["annotations"][-1]))
    assert records[0] == records[1]


def rle_of(pixels: np.ndarray) -> dict[str, Any]:
    rle: dict[str, Any] = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


@pytest.mark.parametrize("segmentation", ["rle", "polygons"])
@given(pixels=arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))).filter(np.any))
@settings(deadline=None, max_examples=50)
def test_masks_of_any_shape_are_exact(segmentation: str, pixels: np.ndarray) -> None:
    height, width = pixels.shape
    mask = MaskRow("m", 0, (0, 0, width, height), int(pixels.sum()), 0.5, rle_of(pixels))
    target = Memory()
    Coco(segmentation=segmentation).write(
        [LabelledImage("i", "a.jpg", width, height, "", [mask])], [ClassRow(0, "apples")], target
    )
    (annotation,) = json.loads(target.payload)["annotations"]
    shape = annotation["segmentation"]
    if segmentation == "polygons":
        shape = coco.merge(coco.frPyObjects(shape, height, width))
    assert np.array_equal(coco.decode(shape), pixels)
