"""The contract of every exporter. New kinds in the union are covered without a change here."""

from typing import Any, get_args

import numpy as np
import pytest
from pycocotools import mask as coco

from samseg.exporters import Exporter
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow

UNION, _ = get_args(Exporter)
KINDS = {spec.model_fields["kind"].default: spec for spec in get_args(UNION)}
CLASSES = [ClassRow(0, "apples"), ClassRow(3, "<b>crates</b>")]
HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "a\\..\\b",
    "a//b",
    ".",
    "..",
    "",
    " ",
    "a\0b",
    "a\nb",
]


class MemoryTarget:
    """A target that keeps all objects in memory."""

    uri = "memory://exports"
    stamp, origin = "2030-01-01", {}

    def __init__(self) -> None:
        self.objects_by_name: dict[str, bytes] = {}

    @property
    def objects(self) -> int:
        return len(self.objects_by_name)

    part = ""

    def put(self, name: str, payload: bytes) -> None:
        assert name not in self.objects_by_name
        self.objects_by_name[name] = payload

    def offer(self, name: str, payload: bytes) -> bool:
        return self.objects_by_name.setdefault(name, payload) == payload

    def read(self, name: str) -> bytes:
        return self.objects_by_name[name]


def image(key: str, *class_ids: int | None, image_id: str = "") -> LabelledImage:
    masks = []
    for i, class_id in enumerate(class_ids):
        pixels = np.zeros((20, 30), dtype=np.uint8, order="F")
        pixels[i : i + 8, 2 * i : 2 * i + 10] = 1
        rle: dict[str, Any] = coco.encode(pixels)
        rle["counts"] = rle["counts"].decode()
        masks.append(MaskRow(f"{key}-{i}", class_id, (2 * i, i, 10, 8), 80, 0.75, rle))
    return LabelledImage(image_id or key.encode().hex(), key, 30, 20, f"s3://lake/{key}", masks)


CASES = {
    **{kind: spec() for kind, spec in KINDS.items()},
    "coco polygons": KINDS["coco"](segmentation="polygons"),
    "label_studio polygons": KINDS["label_studio"](segmentation="polygons"),
}


@pytest.fixture(params=sorted(CASES))
def exporter(request: pytest.FixtureRequest) -> Any:
    return CASES[request.param]


def test_equal_inputs_yield_equal_bytes(exporter: Any) -> None:
    first, second = MemoryTarget(), MemoryTarget()
    for target in (first, second):
        exporter.write((image(k, 0, 3, -1) for k in ("a.jpg", "b.jpg")), CLASSES, target)
    assert first.objects_by_name == second.objects_by_name


def test_counts_add_up(exporter: Any) -> None:
    target = MemoryTarget()
    images = [image("a.jpg", 0, 3, -1, None), image("b.jpg"), image("c.jpg", 0)]
    written = exporter.write(iter(images), CLASSES, target)
    assert (written.kind, written.uri) == (exporter.kind, target.uri)
    assert (written.images, written.masks, written.left_out) == (3, 3, 2)
    assert written.objects == len(target.objects_by_name)


@pytest.mark.parametrize(
    ("images", "classes"),
    [([], CLASSES), ([image("a.jpg")], []), ([image("a.jpg", -1, None)], []), ([], [])],
    ids=["no images", "no masks", "no classes", "neither"],
)
def test_empty_exports_are_complete(exporter: Any, images: list, classes: list) -> None:
    target = MemoryTarget()
    written = exporter.write(iter(images), classes, target)
    assert (written.images, written.masks) == (len(images), 0)
    assert target.objects_by_name


def test_hostile_keys_yield_safe_names(exporter: Any) -> None:
    target = MemoryTarget()
    images = [image(key, 0, image_id=f"{i:020x}") for i, key in enumerate(HOSTILE)]
    exporter.write(iter(images), CLASSES, target)
    for name in target.objects_by_name:
        assert not name.startswith("/") and name.isprintable() and "\\" not in name
        assert all(part not in ("", ".", "..") for part in name.split("/"))


def test_images_are_consumed_once_and_not_retained(exporter: Any) -> None:
    import weakref

    class WeaklyReferenced(LabelledImage):
        """`LabelledImage` has slots and no weak references; a subclass supports them."""

    alive: list[weakref.ref] = []

    def stream() -> Any:
        for i in range(50):
            assert sum(r() is not None for r in alive) <= 2
            made = WeaklyReferenced(
                f"{i:020x}", f"{i}.jpg", 30, 20, f"s3://lake/{i}.jpg", image(f"{i}.jpg", 0, 3).masks
            )
            alive.append(weakref.ref(made))
            yield made
            del made

    assert exporter.write(stream(), CLASSES, MemoryTarget()).images == 50
