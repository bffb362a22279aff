"""Corrected exports read back: what a person changed is in later exports, and nothing else."""

import contextlib
import io
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from pycocotools import mask as coco
from pycocotools.coco import COCO

import samseg
from samseg.corrections.reading import read_corrected
from samseg.doctor.examination import examine
from samseg.edits.edit import CREATED
from samseg.edits.log import read_log
from samseg.engine import Local
from samseg.errors import ConfigError, ConflictError, StorageError
from samseg.exporters import Coco, CocoPanoptic, LabelStudio
from samseg.nightly import Night
from samseg.output import Output
from samseg.stages.corrections.importing import CorrectionImport, Imported
from samseg.stages.edits.editor import ClassEditor
from samseg.stages.export import export_all
from samseg.stages.forget import forget, traces
from samseg.views_sql import views_sql

from ...doctor.conftest import config_of, labelled

Json = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos, each with two masks of the classes 0, 1 and 2, which have no names."""
    folder = tmp_path_factory.mktemp("made")
    labelled(folder)
    return folder


@pytest.fixture
def output(made: Path, tmp_path: Path) -> Output:
    shutil.copytree(made / "lake", tmp_path / "lake")
    shutil.copytree(made / "output", tmp_path / "output")
    (tmp_path / "output" / "lake.json").write_text(json.dumps({"uri": f"file://{tmp_path}/lake"}))
    return Output(str(tmp_path / "output"))


def exported(output: Output, exporter: Any = None) -> Any:
    """Return the whole lake's file, as another tool reads it."""
    (written,) = export_all(output, [exporter or Coco()])
    folder = Path(written.uri.removeprefix("file://"))
    names = {"coco": "instances", "coco_panoptic": "panoptic", "label_studio": "tasks"}
    return json.loads((folder / f"{names[written.kind]}-00000.json").read_text())


def with_pycocotools(data: Json) -> COCO:
    """Return the file as pycocotools has it."""
    loaded = COCO()
    loaded.dataset = data
    with contextlib.redirect_stdout(io.StringIO()):
        loaded.createIndex()
    return loaded


def saved(output: Output, data: Any) -> CorrectionImport:
    """Write a corrected file, and compare it with its export."""
    path = Path(output.uri.removeprefix("file://")).parent / "corrected.json"
    path.write_text(json.dumps(data))
    return CorrectionImport(output, read_corrected(path))


def imported(output: Output, data: Any) -> Imported:
    return saved(output, data).run("ann", Local())


def categories(data: Json) -> dict[str, str]:
    """Return the name of the category of each mask."""
    names = {c["id"]: c["name"] for c in data["categories"]}
    return {a["mask_id"]: names[a["category_id"]] for a in data["annotations"]}


def square(x: int) -> Json:
    pixels = np.zeros((48, 48), np.uint8, order="F")
    pixels[10:20, x : x + 7] = 1
    rle = coco.encode(pixels)
    return {"size": [48, 48], "counts": rle["counts"].decode()}


def by_class(data: Json) -> dict[int, list[Json]]:
    """Return the annotations of each class."""
    found: dict[int, list[Json]] = {}
    for annotation in data["annotations"]:
        found.setdefault(annotation["category_id"] - 1, []).append(annotation)
    return found


def corrected(data: Json) -> dict[str, Any]:
    """Rename, move, delete and outline with pycocotools; return which masks were which."""
    loaded = with_pycocotools(data)
    first, second, third = (loaded.loadAnns(loaded.getAnnIds(catIds=[c])) for c in (1, 2, 3))
    loaded.cats[1]["name"] = "hazel nut"
    moved, deleted, outlined = first[:3], second[:2], second[2]
    for annotation in moved:
        annotation["category_id"] = 3
    outlined["segmentation"] = square(5)
    gone = {annotation["id"] for annotation in deleted}
    data["annotations"] = [a for a in data["annotations"] if a["id"] not in gone]
    return {
        "moved": {a["mask_id"] for a in moved},
        "deleted": {a["mask_id"] for a in deleted},
        "outlined": outlined["mask_id"],
        "others": {a["mask_id"] for a in [*first[3:], *second[2:], *third]},
    }


def test_a_file_changed_with_pycocotools_is_in_later_exports_and_after_a_refit(output):
    before = exported(output)
    was = categories(before)
    changed = corrected(before)
    done = imported(output, before)
    assert done.complete and done.conflicts == []
    actions = Counter(edit.action.action for edit in read_log(output))
    assert actions == {"name": 1, "move": 2, "redraw": 1}
    assert {(e.author, e.reason) for e in read_log(output)} == {("ann", "import of corrected.json")}

    renamed = {"class 0": "hazel nut"}
    for _ in range(2):  # the second time after a refit
        after = exported(output)
        now = categories(after)
        assert now.keys() == was.keys() - changed["deleted"]
        assert {now[m] for m in changed["moved"]} == {"class 2"}
        assert {m: now[m] for m in changed["others"]} == {
            m: renamed.get(was[m], was[m]) for m in changed["others"]
        }
        (mask,) = (a for a in after["annotations"] if a["mask_id"] == changed["outlined"])
        assert mask["segmentation"] == square(5)
        assert (mask["bbox"], mask["area"]) == ([5, 10, 7, 10], 70)
        night = Night(config_of(Path(output.uri.removeprefix("file://")).parent))
        night.cluster(refit=True)
        night.close()
    assert output.codebook_versions()[-1] == 3
    stored = samseg.open(output).query("select rle from masks where mask_id = ?", [mask["mask_id"]])
    assert stored["rle"].to_pylist() != [square(5)], "the machine's outline stays"


def test_the_second_import_of_a_file_changes_nothing(output):
    data = exported(output)
    corrected(data)
    imported(output, data)
    objects = {s.key for s in output.storage.list()}
    again = imported(output, data)
    assert again.proposal.empty and again.edits == [] and again.complete
    assert {s.key for s in output.storage.list()} == objects


def test_an_export_that_nobody_changed_changes_nothing(output):
    kinds = [
        *(
            Coco(),
            Coco(segmentation="polygons"),
            Coco(noise=True),
            Coco(classes=(0,)),
            CocoPanoptic(),
        ),
        *(Coco(min_score=0.95), Coco(split="train", validation=0.5)),
    ]
    for exporter in kinds:
        done = imported(output, exported(output, exporter))
        assert done.complete and done.proposal.empty, exporter
    for exporter in (LabelStudio(), LabelStudio(segmentation="polygons")):
        done = imported(output, accepted(exported(output, exporter)))
        assert done.complete and done.proposal.empty, exporter
    assert read_log(output) == []


def accepted(tasks: list[Json]) -> list[Json]:
    """Return the tasks as Label Studio exports them once a person has submitted each."""
    for number, task in enumerate(tasks):
        (prediction,) = task["predictions"]
        task |= {"id": number, "predictions": [number]}
        task["annotations"] = [
            {
                "id": number,
                "completed_by": 1,
                "result": prediction["result"],
                "was_cancelled": False,
                "parent_prediction": number,
                "updated_at": "2026-01-01T00:00:00Z",
            }
        ]
    return tasks


def test_what_was_corrected_in_label_studio_is_in_later_exports_and_after_a_refit(output):
    was = categories(exported(output))
    tasks = accepted(exported(output, LabelStudio()))
    regions = [r for task in tasks for r in task["annotations"][0]["result"]]
    masks: dict[str, list[Json]] = {}
    for region in regions:
        masks.setdefault(region["value"]["brushlabels"][0], []).append(region)
    for region in masks["class 0"]:
        region["value"]["brushlabels"] = ["hazel nut"]
    for region in masks["class 1"][:3]:
        region["value"]["brushlabels"] = ["class 2"]
    for region in masks["class 1"][3:6]:
        region["value"]["brushlabels"] = ["shell"]
    gone, outlined = masks["class 2"][0], masks["class 2"][1]
    own = tasks[0]["annotations"][0]["result"]
    own.remove(gone)
    outlined["value"]["rle"] = literal_brush(coco.decode(square(5)))
    done = imported(output, tasks)
    assert done.complete
    actions = Counter(edit.action.action for edit in read_log(output))
    assert actions == {"name": 1, "example": 1, "move": 2, "redraw": 1}
    night = Night(config_of(Path(output.uri.removeprefix("file://")).parent))
    night.cluster(refit=True)
    night.close()
    now = categories(exported(output))
    assert now.keys() == was.keys() - {gone["id"]}
    assert {now[r["id"]] for r in masks["class 0"]} == {"hazel nut"}
    assert {now[r["id"]] for r in masks["class 1"][:3]} == {"class 2"}
    assert {now[r["id"]] for r in masks["class 1"][3:6]} == {"shell"}
    (mask,) = (a for a in exported(output)["annotations"] if a["mask_id"] == outlined["id"])
    assert mask["segmentation"] == square(5)
    assert imported(output, tasks).proposal.empty


def literal_brush(pixels: np.ndarray) -> list[int]:
    """Encode as another encoder may: one literal sequence after the other."""
    values = np.repeat(pixels.ravel() * 255, 4)
    bits = f"{len(values):032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    for start in range(0, len(values), 256):
        some = values[start : start + 256]
        bits += f"010{len(some) - 1:08b}" + "".join(f"{v:08b}" for v in some)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_merged_and_added_categories(output):
    data = exported(output)
    masks = by_class(data)
    data["categories"][1]["name"] = data["categories"][0]["name"] = "nut"
    data["categories"].append({"id": 900, "name": "shell"})
    for annotation in masks[2][:4]:
        annotation["category_id"] = 900
    done = imported(output, data)
    assert done.complete
    now = categories(exported(output))
    assert {now[a["mask_id"]] for c in (0, 1) for a in masks[c]} == {"nut"}
    assert {now[a["mask_id"]] for a in masks[2][:4]} == {"shell"}
    actions = [edit.action for edit in read_log(output)]
    assert [a.action for a in actions] == ["name", "merge", "example"]
    assert len(actions[2].accepted) == 4
    assert all(len(m.vector) == 256 for m in actions[2].accepted)
    assert output.member_shards(1, 3) == output.committed(), "members in all shards"
    assert imported(output, data).proposal.empty


def test_a_deleted_category_whose_masks_have_another_one_is_merged(output):
    data = exported(output)
    for annotation in by_class(data)[2]:
        annotation["category_id"] = 1
    del data["categories"][2]
    imported(output, data)
    assert [edit.action.action for edit in read_log(output)] == ["merge"]


def test_a_category_that_was_cut_out_with_its_masks_is_not_deleted(output):
    data = exported(output)
    masks = by_class(data)
    data["annotations"] = masks[0]
    data["categories"] = data["categories"][:1]
    done = imported(output, data)
    assert done.proposal.empty and done.changed.untouched == {1: 24, 2: 24}


def test_what_others_edited_since_the_export_stays(output):
    data = exported(output)
    masks = by_class(data)
    editor = ClassEditor(output)
    editor.name(1, "walnut", author="bob")
    editor.move([masks[0][0]["mask_id"]], into=1, author="bob")
    editor.merge(2, into=1, author="bob")
    data["categories"][0]["name"] = "hazel nut"
    data["annotations"].remove(masks[1][0])
    done = imported(output, data)
    assert done.complete
    now = categories(exported(output))
    assert now[masks[0][0]["mask_id"]] == "walnut" and now[masks[2][0]["mask_id"]] == "walnut"
    assert now[masks[0][1]["mask_id"]] == "hazel nut"
    assert masks[1][0]["mask_id"] not in now


def test_what_both_changed_is_named_and_left(output):
    data = exported(output)
    masks = by_class(data)
    editor = ClassEditor(output)
    editor.name(0, "walnut")
    editor.move([masks[1][0]["mask_id"], masks[1][1]["mask_id"]], into=0)
    editor.merge(2, into=0)
    data["categories"][0]["name"] = "hazel nut"
    masks[1][0]["category_id"] = 3  # which is class 0 by now, as the other person said
    data["annotations"].remove(masks[1][1])
    data["categories"][2]["name"] = "shell"
    masks[1][2]["category_id"] = 1
    done = imported(output, data)
    assert not done.complete and len(done.conflicts) == 3
    text = "\n".join(done.conflicts)
    assert "class 0 was exported as 'class 0'; it is 'hazel nut' in the file and 'walnut'" in text
    assert f"mask {masks[1][1]['mask_id']}: deleted in the file, and given" in text
    assert "class 2 was merged into class 0 (edit 3" in text and "'shell'" in text
    assert [e.action.action for e in read_log(output)[3:]] == ["move"], "the rest is done"


def test_two_corrections_of_one_outline(output):
    first, second = exported(output), exported(output)
    first["annotations"][0]["segmentation"] = square(5)
    second["annotations"][0]["segmentation"] = square(9)
    assert imported(output, first).complete
    done = imported(output, second)
    assert "a third one since the export" in done.conflicts[0]
    later = exported(output)
    later["annotations"][0]["segmentation"] = square(9)
    assert imported(output, later).complete
    assert exported(output)["annotations"][0]["segmentation"] == square(9)
    ClassEditor(output).undo(2)
    assert exported(output)["annotations"][0]["segmentation"] == square(5)


def test_an_export_under_an_earlier_codebook(output):
    data = exported(output)
    corrected(data)
    night = Night(config_of(Path(output.uri.removeprefix("file://")).parent))
    night.cluster(refit=True)
    night.close()
    done = imported(output, data)
    assert done.complete and len(done.edits) == 4
    assert "hazel nut" in categories(exported(output)).values()


def test_another_person_edits_during_the_import(output, monkeypatch):
    from samseg.stages.corrections import importing

    data = exported(output)
    corrected(data)
    append, done = importing.append, []

    def late(output, action, author, reason, state):
        if not done:
            done.append(ClassEditor(output).name(1, "walnut", author="bob"))
        return append(output, action, author, reason, state)

    monkeypatch.setattr(importing, "append", late)
    assert imported(output, data).complete
    assert {"walnut", "hazel nut"} <= {row["name"] for row in ClassEditor(output).list()}

    data["categories"][1]["name"] = "pecan"
    done.clear()
    monkeypatch.setattr(importing, "append", clashing(append))
    with pytest.raises(ConflictError, match="the classes were changed meanwhile: name"):
        imported(output, exported_with_name(output, 1, "pecan"))


def exported_with_name(output: Output, class_id: int, name: str) -> Json:
    data = exported(output)
    data["categories"][class_id]["name"] = name
    return data


def clashing(append: Any) -> Any:
    def clash(output, action, author, reason, state):
        ClassEditor(output).name(1, "acorn", author="bob")
        return append(output, action, author, reason, state)

    return clash


@pytest.mark.parametrize("left", [1, 2, 4, 5])
def test_an_interrupted_import_is_completed_by_the_next(output, monkeypatch, left):
    data = exported(output)
    corrected(data)
    running, puts, put_new = saved(output, data), [], output.storage.put_new

    def cut(key: str, payload: bytes) -> bool:
        puts.append(key)
        if len(puts) == left:
            raise StorageError("cut")
        return put_new(key, payload)

    with monkeypatch.context() as patched:
        patched.setattr(output.storage, "put_new", cut)
        with pytest.raises(StorageError, match="cut"):
            running.run("ann", Local())
    imported(output, data)
    actions = Counter(edit.action.action for edit in read_log(output))
    assert actions == {"name": 1, "move": 2, "redraw": 1}


def test_what_the_folder_does_not_have_is_counted(output):
    data = exported(output)
    masks = by_class(data)
    ghost = dict(data["images"][0], id=7, image_id="f" * 20)
    data["images"].append(ghost)
    data["annotations"].append(dict(masks[0][0], id=8, image_id=7, mask_id="f" * 20 + "-0000"))
    data["annotations"].append(dict(masks[0][0], id=9, mask_id=masks[0][0]["mask_id"][:-2] + "77"))
    drawn = dict(masks[0][0], id=10)
    del drawn["mask_id"]
    data["annotations"].append(drawn)
    data["categories"][0]["name"] = "hazel nut"
    done = imported(output, data)
    changed = done.changed
    assert not done.complete
    assert (changed.unknown_images, changed.unknown_masks, changed.drawn) == (1, 1, 1)
    assert [edit.action.action for edit in done.edits] == ["name"]


def test_tasks_that_nobody_annotated_or_that_began_anew_delete_nothing(output):
    tasks = accepted(exported(output, LabelStudio()))
    tasks[0]["annotations"] = []
    tasks[1]["annotations"][0]["was_cancelled"] = True
    anew = tasks[2]["annotations"][0]
    region = dict(anew["result"][0], id="x7Fa_9")
    anew |= {"result": [region, {"id": "c", "type": "choices", "value": {}}]}
    anew["parent_prediction"] = None
    path = Path(output.uri.removeprefix("file://")).parent / "tasks.json"
    path.write_text(json.dumps(tasks))
    file = read_corrected(path)
    assert file.unseen == 2
    changed = CorrectionImport(output, file).changed
    assert (changed.removed, changed.drawn, changed.others) == ([], 1, 1)


def test_an_export_of_another_folder_or_state_is_refused(output):
    other = exported(output)
    other["info"]["samseg"]["folder"] = "0" * 16
    with pytest.raises(ConfigError, match="was exported from another output folder"):
        saved(output, other)
    data = exported(output)
    data["info"]["samseg"]["edit"] = 3
    with pytest.raises(ConfigError, match="edit 3, which this folder does not have"):
        saved(output, data)
    del data["info"]["samseg"]
    with pytest.raises(ConfigError, match="does not say of which output folder"):
        saved(output, data)


def test_hostile_names_are_kept(output):
    name = "<script>\x1b[2J\u202e'; drop table labels; --"
    imported(output, exported_with_name(output, 0, name))
    assert name in categories(exported(output)).values()
    with pytest.raises(ConfigError, match="consists of digits"):
        imported(output, exported_with_name(output, 0, "17"))
    assert len(read_log(output)) == 1


def test_readers_show_corrections_and_ignored_masks(output):
    data = exported(output)
    changed = corrected(data)
    imported(output, data)
    tables = samseg.open(output)
    alone = duckdb.connect()
    alone.execute(views_sql(output.uri))
    for query in (
        "select mask_id, image_id, area, author, correction, edit from corrections",
        "select name, ignored, count(*) from labels group by all order by all",
    ):
        rows = [tuple(row.values()) for row in tables.query(query).to_pylist()]
        assert alone.execute(query).fetchall() == rows and rows
    ((mask, image, area, author, correction, edit),) = alone.execute(
        "select mask_id, image_id, area, author, correction, edit from corrections"
    ).fetchall()
    assert (mask, image) == (changed["outlined"], changed["outlined"][:20])
    assert (area, author, correction) == (70, "ann", 1) and edit == len(read_log(output))
    ignored = tables.query("select mask_id from labels where ignored").to_pylist()
    assert {row["mask_id"] for row in ignored} == changed["deleted"]
    assert sum(row["masks"] for row in ClassEditor(output).list()) == 70
    ClassEditor(output).undo(edit)
    assert samseg.open(output).query("from corrections").num_rows == 0


def test_the_doctor_knows_corrections_and_forget_erases_them(output):
    data = exported(output)
    changed = corrected(data)
    imported(output, data)
    found, _ = examine(output, Local(), False)
    assert found.findings == () and found.foreign == ()
    image = changed["outlined"][:20]
    key = next(i["file_name"] for i in data["images"] if i["image_id"] == image)
    forget(output, traces(output, key))
    assert output.read(output.correction_key(1)).num_rows == 0
    assert image not in str(exported(output))
    output.storage.replace(output.correction_key(1), b"x")
    found, _ = examine(output, Local(), False)
    assert [f.key for f in found.findings] == [output.correction_key(1)]
    assert "restore it from a copy" in found.findings[0].remedy


def test_masks_are_moved_back_from_ignored(output):
    data = exported(output)
    mask = data["annotations"].pop()["mask_id"]
    imported(output, data)
    ClassEditor(output).move([mask], into=0)
    assert categories(exported(output))[mask] == "class 0"
    assert CREATED not in ClassEditor(output).list()
