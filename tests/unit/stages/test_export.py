import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO

from samseg import schema
from samseg.engine import Local
from samseg.errors import CodebookError, ConfigError, StorageError
from samseg.exporters import (
    Coco,
    CocoPanoptic,
    HuggingFace,
    LabelStudio,
    Png,
    SemanticPng,
    Yolo,
)
from samseg.output import Output
from samseg.stages.export import export, export_all
from samseg.types import image_id_of


def test_writes_every_format_of_every_shard(
    small_output: Callable[..., Any], capsys: pytest.CaptureFixture
) -> None:
    made = small_output(failures=(("x.jpg", "undecodable", "broken"),))
    steps: list[int] = []
    coco, png = export_all(made.output, [Coco(), Png()], None, steps.append)
    noise = sum(c == -1 for c in made.class_of.values())
    assert coco.images == png.images == len(made.keys)
    assert coco.masks == png.masks == len(made.class_of) - noise
    assert coco.left_out == noise and coco.objects == 1
    assert steps == [4, 8]
    assert re.search(r"/exports/coco/v1-e0-all-[0-9a-f]{8}$", coco.uri)
    assert coco.uri.rpartition("/")[2] == png.uri.rpartition("/")[2]

    loaded = COCO(f"{coco.uri.removeprefix('file://')}/instances-00000.json")
    found = {a["mask_id"]: a["category_id"] - 1 for a in loaded.loadAnns(loaded.getAnnIds())}
    assert found == {m: c for m, c in made.class_of.items() if c != -1}
    addresses = {i["file_name"]: i["coco_url"] for i in loaded.dataset["images"]}
    assert addresses == {key: f"memory://lake/{image_id_of(key)}" for key in made.keys}
    assert [c["name"] for c in loaded.loadCats(loaded.getCatIds())] == [
        "apples",
        "crates",
        "class 2",
    ]
    folder = Path(png.uri.removeprefix("file://"))
    pixels = np.asarray(Image.open(folder / "images" / "b" / "c.jpg.png"))
    assert set(np.unique(pixels)) == {0, 1, 2, 3}
    record = json.loads((folder / "export.json").read_text())
    assert (record["codebook"], record["images"]) == (1, len(made.keys))
    capsys.readouterr()


def test_the_whole_lake_is_written_once(
    small_output: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small_output()
    restore = without_commit(made)
    early = export_all(made.output, ALL)
    restore()
    late = export_all(made.output, ALL)
    before = objects(made.output)
    assert [(w.images, w.uri in {e.uri for e in early}) for w in late] == [(4, False)] * len(ALL)
    with monkeypatch.context() as patched:
        patched.setattr(made.output.storage, "put_new", None)  # nothing is put
        assert export_all(made.output, ALL) == late
    path = made.output.assignments_key(1, made.shards[1])
    Path(made.output.uri.removeprefix("file://"), path).unlink()
    (fewer, *_) = export_all(made.output, ALL)  # of the same shards, as if not yet assigned
    assert (fewer.images, fewer.masks) == (4, early[0].masks)
    assert objects(made.output).items() >= before.items()


def test_other_contents_are_refused(small_output: Callable[..., Any]) -> None:
    made = small_output()
    key = f"exports/coco/v1-e0/instances-{made.shards[1]}-00000.json"
    made.output.storage.put_new(key, b"{}")
    with pytest.raises(StorageError, match=r"instances.*json exists from another export to v1-e0"):
        export(made.output, [Coco()])


def test_without_a_codebook_images_are_exported_without_classes(
    small_output: Callable[..., Any],
) -> None:
    made = small_output(codebook=False)
    (coco,) = export_all(made.output, [Coco()])
    assert (coco.images, coco.masks, coco.left_out) == (len(made.keys), 0, len(made.class_of))


def test_empty_output(tmp_path: Any) -> None:
    coco, png = export_all(Output(str(tmp_path)), [Coco(), Png()])
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
        export_all(output, [Coco()])


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
    export_all(made.output, [Coco(), Png()])
    assert columns_read and "embedding" not in columns_read


# ---------------------------------------------------------------- by parts


def objects(output: Output) -> dict[str, str]:
    return {s.key: s.etag for s in output.storage.list("exports/")}


def without_commit(made: Any) -> Any:
    """Remove the commit of the second shard; return a function that puts it back."""
    path = Path(made.output.uri.removeprefix("file://"), made.output.images_key(made.shards[1]))
    payload = path.read_bytes()
    path.unlink()
    return lambda: path.write_bytes(payload)


def annotations(output: Output, folder: str) -> list[dict]:
    files = [s.key for s in output.storage.list(folder) if "/instances-" in s.key]
    return [a for f in files for a in json.loads(output.storage.get(f))["annotations"]]


ALL = [Coco(), CocoPanoptic(), HuggingFace(), LabelStudio(), Png(), SemanticPng(), Yolo()]


def test_a_later_run_writes_what_is_new(small_output: Callable[..., Any]) -> None:
    made = small_output()
    restore = without_commit(made)
    first = export(made.output, ALL)
    before = objects(made.output)
    restore()
    second = export(made.output, ALL)
    assert [a.images + b.images for a, b in zip(first, second, strict=True)] == [4] * len(ALL)
    assert objects(made.output).items() >= before.items()
    coco, *_ = second
    assert coco.uri == f"{made.output.uri}/exports/coco/v1-e0"
    whole = export_all(made.output, [Coco()])
    by_parts = annotations(made.output, "exports/coco/v1-e0/")
    assert len(by_parts) == whole[0].masks
    assert {a["mask_id"] for a in by_parts} == {m for m, c in made.class_of.items() if c != -1}


def test_without_new_shards_nothing_is_written(small_output: Callable[..., Any]) -> None:
    output = small_output().output
    export(output, ALL)
    before = objects(output)
    assert all((w.images, w.objects) == (0, 0) for w in export(output, ALL))
    assert objects(output) == before


@pytest.mark.parametrize("left", range(1, 16))
def test_an_interrupted_export_ends_like_an_uninterrupted_one(
    small_output: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    made = small_output()
    storage = made.output.storage
    put_new, puts = storage.put_new, []

    def cut(key: str, payload: bytes) -> bool:
        puts.append(key)
        if len(puts) == left:
            raise StorageError("cut")
        return put_new(key, payload)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "put_new", cut)
        with pytest.raises(StorageError, match="cut"):
            export(made.output, [Coco(), Yolo()], Local(attempts=1))
    export(made.output, [Coco(), Yolo()])
    found = {s.key: storage.get(s.key) for s in storage.list("exports/")}
    for key in found:
        Path(made.output.uri.removeprefix("file://"), key).unlink()
    export(made.output, [Coco(), Yolo()])
    assert {s.key: storage.get(s.key) for s in storage.list("exports/")} == found


def test_shards_without_classes_wait(small_output: Callable[..., Any]) -> None:
    made = small_output()
    path = made.output.assignments_key(1, made.shards[1])
    Path(made.output.uri.removeprefix("file://"), path).unlink()
    (coco,) = export(made.output, [Coco()])
    assert coco.images == 2


def test_other_settings_have_a_folder_of_their_own(small_output: Callable[..., Any]) -> None:
    made = small_output()
    rle, polygons = export(made.output, [Coco(), Coco(segmentation="polygons")])
    assert rle.uri.endswith("/exports/coco/v1-e0")
    assert re.search(r"/exports/coco/v1-e0-[0-9a-f]{8}$", polygons.uri)
    part = f"exports/coco/{polygons.uri.rpartition('/')[2]}/parts/{made.shards[0]}.json"
    record = json.loads(made.output.storage.get(part))
    assert (record["settings"], record["images"]) == ({"segmentation": "polygons"}, 2)


def test_selected_classes_scores_and_sides(small_output: Callable[..., Any]) -> None:
    made = small_output(keys=tuple(f"{i}.jpg" for i in range(40)))
    apples = sum(c == 0 for c in made.class_of.values())
    chosen, crates, none = export(
        made.output, [Coco(classes=["apples"]), Coco(classes=[1]), Coco(min_score=0.91)]
    )
    assert (chosen.masks, chosen.images) == (apples, 40)
    assert chosen.left_out == len(made.class_of) - apples
    assert crates.masks == sum(c == 1 for c in made.class_of.values())
    assert (none.masks, none.images) == (0, 40)  # all have 0.9
    sides = export(made.output, [Coco(split=s, validation=0.3) for s in ("train", "val")])
    assert sum(w.images for w in sides) == 40 and all(w.images > 4 for w in sides)
    with pytest.raises(ConfigError, match=r"coco.classes: there is no class 'pears'.*0 'apples'"):
        export(made.output, [Coco(classes=["pears"])])


def test_yolo_lists_every_complete_part(small_output: Callable[..., Any]) -> None:
    made = small_output()
    restore = without_commit(made)
    export(made.output, [Yolo()])
    restore()
    export(made.output, [Yolo()])
    folder = "exports/yolo/v1-e0"
    for shards in (made.shards[:1], made.shards):
        data = yaml.safe_load(made.output.storage.get(f"{folder}/data-00000{len(shards)}.yaml"))
        assert data["train"] == [f"train-{shard}.txt" for shard in shards]
        side = "train" if len(shards) == 1 else "val"  # no image of the first part is on that side
        assert data["val"] == [f"{side}-{shard}.txt" for shard in shards]
    lists = [
        made.output.storage.get(f"{folder}/{side}-{shard}.txt")
        for side in ("train", "val")
        for shard in made.shards
    ]
    assert len(b"".join(lists).splitlines()) == len(made.keys)


def test_yolo_names_a_list_for_both_sides_if_there_is_one(small_output: Callable[..., Any]) -> None:
    made = small_output(keys=tuple(f"{i}.jpg" for i in range(20)))
    for options in ({"validation": 0.5}, {"validation": 0.5, "split": "val"}):
        (yolo,) = export(made.output, [Yolo(**options)])
        folder = Path(yolo.uri.removeprefix("file://"))
        data = yaml.safe_load((folder / "data-000002.yaml").read_text())
        assert data["val"] == [f"val-{shard}.txt" for shard in made.shards]
        assert (data["train"] == data["val"]) == ("split" in options)
        assert all((folder / data[side][0]).read_text() for side in ("train", "val"))
