"""The verbs of people against a small folder: looked up, checked, and seen by all readers."""

import json
from pathlib import Path
from xml.etree import ElementTree

import duckdb
import pytest

import samseg
from samseg.edits.edit import CREATED
from samseg.edits.log import read_log
from samseg.errors import ConfigError, SamsegError
from samseg.exporters import Coco, CocoPanoptic, HuggingFace, LabelStudio, Png, SemanticPng, Yolo
from samseg.stages.edits.editor import ClassEditor
from samseg.stages.export import export, export_all
from samseg.stages.report.counts import count
from samseg.stages.report.stage import report
from samseg.views import report as page
from samseg.views_sql import views_sql

HOSTILE = "<script>alert('x')</script>\"; drop table labels; --\x1b[2J\u202e\n=1+1"


@pytest.fixture
def made(small_output):
    """Classes 0 apples, 1 crates and 2, which has no name, with 12, 8 and 4 masks; 4 of noise."""
    return small_output()


@pytest.fixture
def editor(made):
    return ClassEditor(made.output)


def labels(output):
    """Return masks per class and name in all three readers, which agree."""
    sql = "select class_id, name, ignored, count(*) from labels group by all order by all"
    found = [tuple(row.values()) for row in samseg.open(output).query(sql).to_pylist()]
    alone = duckdb.connect()
    alone.execute(output.storage.get(output.views_key).decode())
    assert alone.execute(sql).fetchall() == found
    return {(class_id, name): masks for class_id, name, _, masks in found}


def coco(output):
    """Return masks per category of the whole lake's COCO file."""
    (written,) = export_all(output, [Coco()])
    folder = Path(written.uri.removeprefix("file://"))
    data = json.loads((folder / "instances-00000.json").read_text())
    names = {c["id"]: c["name"] for c in data["categories"]}
    counts = dict.fromkeys(names.values(), 0)
    for annotation in data["annotations"]:
        counts[names[annotation["category_id"]]] += 1
    return counts


def test_every_reader_shows_the_classes_as_people_left_them(made, editor):
    masks = sorted(m for m, c in made.class_of.items() if c == 0)
    editor.name(2, "bars", author="ann", reason="they are bars")
    editor.merge("crates", into="apples", author="bob")
    editor.move(masks[:3], into="bars")
    editor.move(masks[3], into="none")
    assert labels(made.output) == {(0, "apples"): 16, (2, "bars"): 7, (-1, "noise"): 5}
    assert coco(made.output) == {"apples": 16, "bars": 7}
    editor.ignore("apples")
    assert labels(made.output)[0, "apples"] == 16
    assert coco(made.output) == {"bars": 7}
    editor.restore(0)
    editor.undo(2)
    assert coco(made.output) == {"apples": 8, "crates": 8, "bars": 7}
    assert {row["name"]: row["masks"] for row in editor.list()} == coco(made.output)
    assert [row["action"] for row in editor.history()] == [
        *("name", "merge", "move", "move", "ignore", "restore", "undo")
    ]
    assert editor.history()[1]["undone_by"] == 7


def test_edits_through_python_show_at_once(made):
    tables = samseg.open(made.output)
    before = tables.classes.columns
    tables.classes.name("class 2", "bars")
    found = tables.query("select distinct name from labels where class_id = 2").to_pylist()
    assert found == [{"name": "bars"}]
    assert {row["name"] for row in tables.classes.list()} == {"apples", "crates", "bars"}
    names = tables.classes.project("name").fetchall()
    assert sorted(names) == [("apples",), ("bars",), ("crates",)] and len(tables.classes) == 3
    assert tables.classes.columns == before and before[:3] == ["class_id", "name", "status"]


def test_hostile_names_are_kept_and_break_no_format(made, editor):
    editor.name(2, HOSTILE)
    assert labels(made.output)[2, HOSTILE] == 4
    assert HOSTILE in coco(made.output)
    kinds = [Coco, CocoPanoptic, HuggingFace, LabelStudio, Png, SemanticPng, Yolo]
    for written in export_all(made.output, [kind() for kind in kinds]):
        assert written.masks > 0
    (row,) = (row for row in editor.history() if row["action"] == "name")
    assert row["text"].isprintable()
    assert editor.list()[-1]["name"] == HOSTILE
    studio = next(Path(made.output.uri.removeprefix("file://")).rglob("config.xml"))
    ElementTree.parse(studio)  # well-formed


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda e: e.name("aples", "x"), r"no class 'aples'; did you mean class 0 'apples'\?"),
        (
            lambda e: e.name("zzz", "x"),
            "the classes are class 0 'apples', class 1 'crates', class 2",
        ),
        (lambda e: e.name(7, "x"), "there is no class 7"),
        (lambda e: e.name(CREATED + 9, "x"), f"there is no class {CREATED + 9}"),
        (lambda e: e.name(0, ""), "name: is empty"),
        (lambda e: e.name(0, "x" * 201), "name: .*200 characters"),
        (lambda e: e.name(0, "17"), "would be read as the id"),
        (lambda e: e.name(0, "CRATES"), "class 1 'crates' has that name already"),
        (lambda e: e.merge(0, into=0), "class 0 cannot be merged with itself"),
        (lambda e: e.merge([0, "aple"], into=1), "did you mean class 0 'apples'"),
        (lambda e: e.restore(0), "class 0 is not ignored"),
        (lambda e: e.undo(3), "there is no edit 3; the newest is 0"),
        (lambda e: e.undo(0), "edit: "),
        (lambda e: e.move([], into=0), "mask_ids: "),
        (lambda e: e.name(0, "x", author=" "), "author: is empty"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(made, editor, edit, message):
    with pytest.raises(SamsegError, match=message):
        edit(editor)
    assert read_log(made.output) == []


def test_a_mask_that_is_not_there_is_named_with_the_nearest(made, editor):
    mask = min(made.class_of)
    image = mask[:20]
    with pytest.raises(ConfigError, match=rf"no mask '{image}-0099'; its image has 7 masks"):
        editor.move([f"{image}-0099"], into=0)
    other = "f" * 20 + "-0000"
    with pytest.raises(ConfigError, match=rf"no mask '{other}', nor its image"):
        editor.move([mask, other], into=0)
    assert read_log(made.output) == []


def test_a_merged_class_is_refused_with_what_it_became(editor):
    editor.merge(1, into=0, author="ann")
    for which in (1, "crates"):
        with pytest.raises(ConfigError, match=r"class 1 was merged into class 0 \(edit 1 by ann"):
            editor.ignore(which)


def test_two_classes_of_one_name_are_told_apart_by_id(made, editor):
    editor.name(2, "apples2")
    editor.name(0, "pears")
    editor.name(2, "apples")
    editor.undo(2)
    with pytest.raises(ConfigError, match="'apples' is the name of several classes: 0, 2"):
        editor.ignore("apples")
    editor.ignore(2)


def test_an_undo_says_what_has_no_effect_any_more(made, editor):
    editor.ignore(1)
    editor.restore(1)
    assert editor.consequences(editor.undo(1)) == [
        "edit 2 has no effect now: class 1 is not ignored"
    ]


def test_a_folder_without_classes_has_none_to_edit(small_output):
    editor = ClassEditor(small_output(codebook=False).output)
    with pytest.raises(ConfigError, match="has no classes yet"):
        editor.name(0, "x")


def test_exports_go_on_with_new_shards_and_count_those_with_earlier_names(made, editor):
    output = made.output
    first = output.images_key(made.shards[0])
    payload = output.storage.get(first)
    output.storage.delete(first)
    (before,) = export(output, [Coco()])
    assert before.uri.endswith("/v1-e0") and (before.images, before.earlier) == (2, 0)
    editor.name(2, "bars")
    output.storage.put_new(first, payload)
    (after,) = export(output, [Coco()])
    assert after.uri.endswith("/v1-e1") and (after.images, after.earlier) == (2, 1)
    (again,) = export(output, [Coco()])
    assert (again.images, again.earlier) == (0, 1)
    (other,) = export(output, [Coco(min_score=0.5)])
    assert (other.images, other.earlier) == (4, 0)


def test_an_old_folder_gets_a_newer_script_beside_its_own(made, editor):
    made.output.storage.put_new(made.output.views_key, b"-- of an earlier version")
    editor.name(2, "bars")
    script = made.output.storage.get("views.2.sql").decode()
    assert script == views_sql(made.output.uri)
    assert made.output.storage.get("views.sql") == b"-- of an earlier version"


def test_the_report_counts_merged_and_moved_masks(made, editor):
    editor.merge(1, into=0)
    moved = sorted(mask for mask, class_id in made.class_of.items() if class_id == 2)[0]
    editor.move(moved, into=0)
    counts = count(made.output, 1, ())
    assert counts.classes.masks_of == {0: 21, 2: 3, -1: 4}
    assert moved in {mask for _, mask, _ in counts.candidates[0]}
    assert 1 not in counts.candidates


def test_the_page_shows_names_and_no_ignored_class(made, editor, monkeypatch):
    editor.name(0, "braeburn <apples>")
    editor.ignore(1)
    pages = []
    monkeypatch.setattr(page, "render", lambda shown: pages.append(shown) or "")
    report(made.output, "20260101T000000Z-0000", lambda uris: (), lambda payload: None)
    assert [card.name for card in pages[0].classes] == ["braeburn <apples>", "class 2"]


def test_a_class_by_example_is_refined_by_mask_ids(made, editor):
    masks = sorted(m for m, c in made.class_of.items() if c == 0)
    nut = editor.example("nut", "sam", masks[:1]).created
    editor.refine("nut", accepted=masks[1:3], rejected=masks[3:4])
    assert labels(made.output)[nut, "nut"] == 3
    editor.refine(nut, rejected=masks[:1])
    assert labels(made.output)[nut, "nut"] == 2
    assert [row["text"] for row in editor.history()][1:] == [
        f"refine class {nut} by 2 accepted and 1 rejected masks",
        f"refine class {nut} by 0 accepted and 1 rejected masks",
    ]


@pytest.mark.parametrize(
    ("refine", "message"),
    [
        (lambda e, m: e.refine("apples", accepted=m), "class 0 is not defined by examples; `move`"),
        (lambda e, m: e.refine("nut"), "no mask is accepted or rejected"),
        (lambda e, m: e.refine("nut", m, m), "is both accepted and rejected"),
        (lambda e, m: e.refine("nut", ["f" * 20 + "-0000"]), "nor its image"),
        (lambda e, m: e.refine("nuts", m), "did you mean class .* 'nut'"),
        (lambda e, m: e.example("apples", "sam", m), "class 0 'apples' has that name already"),
    ],
)
def test_a_refinement_that_cannot_be_is_refused(made, editor, refine, message):
    masks = sorted(m for m, c in made.class_of.items() if c == 0)
    editor.example("nut", "sam", masks[:1])
    with pytest.raises(ConfigError, match=message):
        refine(editor, masks[1:2])
    assert len(read_log(made.output)) == 1
