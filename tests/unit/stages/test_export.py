import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from samseg import schema
from samseg.errors import CodebookError, StorageError
from samseg.exporters import Coco, Png
from samseg.output import Output
from samseg.stages.export import export
from samseg.types import image_id_of


def test_writes_every_format_of_every_shard(
    small_output: Callable[..., Any], capsys: pytest.CaptureFixture
) -> None:
    made = small_output(failures=(("x.jpg", "undecodable", "broken"),))
    steps: list[int] = []
    coco, png = export(made.output, [Coco(), Png()], "n1", steps.append)
    noise = sum(c == -1 for c in made.class_of.values())
    assert coco.images == png.images == len(made.keys)
    assert coco.masks == png.masks == len(made.class_of) - noise
    assert coco.left_out == noise and coco.objects == 1
    assert steps == [2, 4, 6, 8]
    assert coco.uri == f"{made.output.uri}/exports/coco/n1"

    root = made.output.uri.removeprefix("file://")
    loaded = COCO(f"{root}/exports/coco/n1/instances-00000.json")
    found = {a["mask_id"]: a["category_id"] - 1 for a in loaded.loadAnns(loaded.getAnnIds())}
    assert found == {m: c for m, c in made.class_of.items() if c != -1}
    addresses = {i["file_name"]: i["coco_url"] for i in loaded.dataset["images"]}
    assert addresses == {key: f"memory://lake/{image_id_of(key)}" for key in made.keys}
    assert [c["name"] for c in loaded.loadCats(loaded.getCatIds())] == [
        "apples",
        "crates",
        "class 2",
    ]
    png_bytes = made.output.storage.get("exports/png/n1/images/b/c.jpg.png")
    assert set(np.unique(np.asarray(Image.open(io.BytesIO(png_bytes))))) == {0, 1, 2, 3}
    record = json.loads(made.output.storage.get("exports/png/n1/export.json"))
    assert (record["codebook"], record["images"]) == (1, len(made.keys))
    capsys.readouterr()


def test_exporting_again_with_the_same_stamp_changes_nothing(
    small_output: Callable[..., Any],
) -> None:
    output = small_output().output
    first = export(output, [Coco(), Png()], "n1")
    before = {s.key: s.etag for s in output.storage.list("exports/")}
    assert export(output, [Coco(), Png()], "n1") == first
    assert {s.key: s.etag for s in output.storage.list("exports/")} == before


def test_another_export_under_the_same_stamp_is_refused(small_output: Callable[..., Any]) -> None:
    output = small_output().output
    export(output, [Coco()], "n1")
    with pytest.raises(StorageError, match="another stamp"):
        export(output, [Coco(noise=True)], "n1")


def test_without_a_codebook_images_are_exported_without_classes(
    small_output: Callable[..., Any],
) -> None:
    made = small_output(codebook=False)
    (coco,) = export(made.output, [Coco()], "n1")
    assert (coco.images, coco.masks, coco.left_out) == (len(made.keys), 0, len(made.class_of))


def test_empty_output(tmp_path: Any) -> None:
    coco, png = export(Output(str(tmp_path)), [Coco(), Png()], "n1")
    assert (coco.images, png.images, coco.objects, png.objects) == (0, 0, 1, 1)


def test_an_assignment_to_an_unknown_class_is_an_error(small_output: Callable[..., Any]) -> None:
    output = small_output(masks=False).output
    rows = [{"mask_id": "m", "class_id": 9}]
    key = output.assignments_key(2, "0" * 19 + "a")
    output.storage.put_new(key, schema.encode(schema.table_of(rows, schema.ASSIGNMENTS)))
    classes = schema.table_of([{"class_id": 0}], schema.CLASSES)
    output.storage.put_new(output.codebook_key(2, "classes.parquet"), schema.encode(classes))
    output.storage.put_new(output.codebook_key(2, "codebook.json"), b"{}")
    with pytest.raises(CodebookError, match=r"\[9\].*codebook 2"):
        export(output, [Coco()], "n1")


def test_reads_no_embedding(
    small_output: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small_output()
    columns_read: set[str] = set()
    read = Output.read

    def recorded(self: Output, key: str, columns: list[str] | None = None) -> Any:
        assert columns is not None
        columns_read.update(columns)
        return read(self, key, columns)

    monkeypatch.setattr(Output, "read", recorded)
    export(made.output, [Coco(), Png()], "n1")
    assert columns_read and "embedding" not in columns_read
