"""Imports beside other edits, cut short, of other folders, and of what is not there."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from samseg.corrections.reading import read_corrected
from samseg.edits.log import read_log
from samseg.engine import Local
from samseg.errors import ConfigError, ConflictError, StorageError
from samseg.exporters import LabelStudio
from samseg.nightly import Night
from samseg.stages.corrections.importing import CorrectionImport
from samseg.stages.edits.editor import ClassEditor

from ...doctor.conftest import config_of
from .corrected_exports import (
    accepted,
    by_class,
    categories,
    corrected,
    exported,
    exported_with_name,
    imported,
    saved,
    square,
)


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
