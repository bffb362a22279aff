import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from samseg.errors import ConfigError
from samseg.exporters.datumaro import Datumaro
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow
from samseg.masks.painting import painted
from samseg.types import image_id_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # in Datumaro's own files

CLASSES = [ClassRow(2, "apples"), ClassRow(7, "crates")]
VOC = {1: (128, 0, 0), 2: (0, 128, 0)}
"""Colours of the first two classes of Pascal VOC's palette."""


class Folder:
    stamp, part, origin = "s", "", {}

    def __init__(self, path: Path):
        self.path, self.uri, self.objects = path, str(path), 0

    def put(self, name: str, payload: bytes) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_bytes(payload)
        self.objects += 1


def ring(x: int, y: int, outer: int, inner: int, class_id: int | None) -> MaskRow:
    rows, columns = np.mgrid[:40, :50]
    distance = (rows - y) ** 2 + (columns - x) ** 2
    rle: Any = coco.encode(
        np.asfortranarray(((distance < outer**2) & (distance >= inner**2)) * 1, np.uint8)
    )
    shape = {"size": rle["size"], "counts": rle["counts"].decode()}
    box = tuple(int(v) for v in coco.toBbox(rle))
    return MaskRow(f"{x}-{y}", class_id, box, int(coco.area(rle)), 0.875, shape)  # type: ignore


def image(key: str, *masks: MaskRow) -> LabelledImage:
    return LabelledImage(image_id_of(key), key, 50, 40, f"s3://lake/{key}", masks)


MASKS = (ring(25, 20, 6, 0, 7), ring(25, 20, 15, 4, 2), ring(5, 5, 3, 0, -1))
KEYS = {
    "a/b.jpg": "a/b",
    "a/b.png": f"_/{image_id_of('a/b.png')}",
    "../c.jpg": f"_/{image_id_of('../c.jpg')}",
}


def write(kind: str, folder: Path) -> Any:
    images = [image(key, *MASKS) for key in KEYS]
    written = Datumaro(kind=kind, validation=0).write(images, CLASSES, Folder(folder))
    assert (written.images, written.masks, written.left_out) == (3, 6, 3)
    return written


@pytest.mark.parametrize("kind", ["VOC", "LabelMe", "CVAT", "datumaro"])
def test_datumaro_reads_what_it_wrote(kind: str, tmp_path: Path) -> None:
    dm = pytest.importorskip("datumaro", reason="in an environment of its own")
    written = write(kind, tmp_path)
    if kind == "CVAT":  # opened with its photos only
        for name in KEYS.values():
            for extension in ("jpg", "png"):
                photo = tmp_path / "images" / f"{name}.{extension}"
                photo.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (50, 40)).save(photo)
    items = [*dm.Dataset.import_from(str(tmp_path), written.kind)]
    assert {item.id for item in items} == {*KEYS.values()}
    assert {item.subset for item in items} == {"train"}
    for item in items:
        shapes = [a for a in item.annotations if isinstance(a, dm.Mask | dm.Polygon)]
        assert len(shapes) == 2


def test_maps_have_the_smallest_mask_on_top(tmp_path: Path) -> None:
    pytest.importorskip("datumaro", reason="in an environment of its own")
    write("voc", tmp_path)
    pixels = np.asarray(Image.open(tmp_path / "SegmentationClass" / "a" / "b.png").convert("RGB"))
    wanted = painted((40, 50), [m.rle for m in MASKS[:2]], [m.area for m in MASKS[:2]], [2, 1])
    for index, color in VOC.items():
        assert np.array_equal((pixels == color).all(-1), wanted == index)


def test_more_classes_than_colours_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("datumaro", reason="in an environment of its own")
    classes = [ClassRow(i, str(i)) for i in range(256)]
    with pytest.raises(ConfigError, match="255 classes, got 256"):
        Datumaro(kind="voc").write([], classes, Folder(tmp_path))


def test_other_formats_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"got 'pdf', wanted one of cvat, datumaro, label_me, voc"
    ):
        Datumaro(kind="pdf")


def test_without_datumaro_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "datumaro", None)
    with pytest.raises(ConfigError, match=r"environment of its own(.|\n)*uv pip install"):
        Datumaro(kind="voc").write([], CLASSES, Folder(tmp_path))
