"""The counts of classes after edits: those of a direct count, and no shard is read twice."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from samseg import ledger, schema
from samseg.class_counts import ClassCounts
from samseg.edits.edit import ExampleMask
from samseg.engine import Local
from samseg.nightly import Night
from samseg.output import Output
from samseg.stages.edits.current_counts import CurrentTallySpec, current_counts
from samseg.stages.edits.editor import ClassEditor
from samseg.stages.edits.resolution import resolved
from samseg.stages.edits.shard_classes import classes_in
from samseg.stages.edits.upkeep import keep_up
from samseg.stages.embeddings import read_embeddings
from samseg.stages.recount import recount
from samseg.stages.report.stage import report
from samseg.stages.tally import tally
from samseg.types import IGNORED
from samseg.views import page
from samseg.views import report as view

from ...doctor.conftest import config_of, label


def counted(output: Output) -> ClassCounts:
    images = tally(output, Local(), write=False).rows
    return current_counts(output, 1, Local(), images, resolved(output, 1))


def assert_counted(output: Output) -> None:
    """The counts are those of the class of every mask."""
    masks: Counter[int] = Counter()
    images: set[tuple[int, str]] = set()
    for shard in output.assigned(1):
        ids, classes = classes_in(output, 1, shard, resolved(output, 1))
        masks.update(classes.tolist())
        owners = (mask.rpartition("-")[0] for mask in ids.to_pylist())
        images |= {*zip(classes.tolist(), owners, strict=True)}
    got, total = counted(output), masks.total()
    del masks[IGNORED]
    assert +got.masks_of == masks
    assert got.masks == total
    assert +got.images_of == Counter(class_id for class_id, _ in images if class_id != IGNORED)


def example(output: Output) -> ExampleMask:
    part = read_embeddings(output, min(output.committed()), "lite", ["mask_id", "embedding"])
    row = part.slice(0, 1).to_pylist()[0]
    return ExampleMask(mask_id=row["mask_id"], vector=tuple(row["embedding"]))


def test_every_kind_of_division_is_counted(output: Output) -> None:
    editor = ClassEditor(output)
    first, second, *_ = (row["class_id"] for row in editor.list())
    split = editor.split(first)
    assert_counted(output)
    masks = [
        m for s in output.assigned(1) for m in classes_in(output, 1, s, resolved(output, 1))[0]
    ]
    ids = sorted(mask.as_py() for mask in masks)
    editor.move(ids[:3], into=second)
    editor.move(ids[3:5], into="ignored")
    editor.move(ids[5], into="none")
    assert_counted(output)
    editor.example("nut", "lite", [example(output)])
    keep_up(output, 1, Local())
    assert_counted(output)
    editor.merge(split.created, into=second)
    assert_counted(output)
    editor.undo(split.number)
    assert_counted(output)
    listed = {row["class_id"]: row["masks"] for row in editor.list()}
    assert listed == {c: n for c, n in counted(output).masks_of.items() if c in listed}


def test_masks_that_people_placed_are_clearly_of_their_class(output: Output) -> None:
    editor = ClassEditor(output)
    first, second, *_ = (row["class_id"] for row in editor.list())
    before = counted(output).clear_of
    part = output.read(output.assignments_key(1, min(output.assigned(1)))).to_pylist()
    unclear = [r["mask_id"] for r in part if r["class_id"] == first and r["margin"] is not None]
    editor.move(unclear[:2], into=second)
    assert counted(output).clear_of[second] == before[second] + 2


@pytest.fixture
def uncountable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: CurrentTallySpec, item: str) -> None:
        raise AssertionError(f"shard {item} is counted again")

    monkeypatch.setattr(CurrentTallySpec, "of_item", refuse)


@pytest.fixture
def kept(output: Output) -> ClassEditor:
    """Edits whose counts are in a ledger."""
    editor = ClassEditor(output)
    editor.split(editor.list()[0]["class_id"])
    keep_up(output, 1, Local())
    return editor


def test_nothing_is_counted_twice(kept: ClassEditor, output: Output, uncountable: None) -> None:
    assert_counted(output)
    keep_up(output, 1, Local())
    assert output.ledger_numbers(1, 1) == [0]


def test_names_divide_nothing(kept: ClassEditor, output: Output, uncountable: None) -> None:
    kept.name(kept.list()[0]["class_id"], "nuts")
    kept.ignore(kept.list()[1]["class_id"])
    keep_up(output, 1, Local())
    assert_counted(output)


def test_a_night_counts_its_own_shards(kept: ClassEditor, output: Output, tmp_path: Path) -> None:
    for n in range(5):
        shutil.copy(tmp_path / "lake" / f"{n:02}.jpg", tmp_path / "lake" / f"later-{n}.jpg")
    before = output.assigned(1)
    night = Night(config_of(tmp_path))
    night.plan()
    for shard in output.planned():
        if shard.id not in before:
            label(output, shard)
    night.cluster()
    night.close()
    newest = output.read(output.ledger_key(1, 1, 1))["shard_id"].to_pylist()
    assert {*newest} == output.assigned(1) - before != set()
    assert_counted(output)


def test_a_recount_mends_wrong_counts(kept: ClassEditor, output: Output) -> None:
    key = output.ledger_key(0, 1, 1)
    rows = output.read(key)
    wrong = rows.to_pylist()
    wrong[0]["classes"][0]["masks"] += 7
    wrong[0]["masks"] += 7
    payload = schema.encode(ledger.table_of(wrong, 1))
    output.storage.replace(key, payload)
    assert recount(output, Local()) == 1
    assert_counted(output)
    assert recount(output, Local()) == 0


def test_the_page_of_the_night_has_these_counts(
    kept: ClassEditor, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[page.Page] = []
    monkeypatch.setattr(view, "render", lambda shown: pages.append(shown) or "")
    report(output, "20260101T000000Z-0000", lambda uris: (), lambda payload: np.zeros((1, 1, 3)))
    shown = {card.class_id: (card.masks, card.images) for card in pages[0].classes}
    counts = counted(output)
    listed = {row["class_id"]: row["masks"] for row in kept.list()}
    assert shown == {c: (n, counts.images_of[c]) for c, n in listed.items()}
    assert len(shown) == 4, "three classes, one of them split"


def test_a_ledger_whose_classes_were_set_aside_is_not_used(
    kept: ClassEditor, output: Output
) -> None:
    kept.name(kept.list()[0]["class_id"], "nuts")
    for name in ("classes", "cells", "moves", "outlines"):
        output.storage.delete(output.resolved_key(1, 1, name))
    keep_up(output, 1, Local())
    assert output.ledger_numbers(1, 2) == [0]
    assert_counted(output)
