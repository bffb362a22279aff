"""What forms do to the classes, and what they say if it cannot be done."""

import pytest

import samseg
from samseg.edits.edit import CREATED
from samseg.stages.edits.editor import ClassEditor
from samseg.types import IGNORED


def labels(output):
    """Return masks per class as queries have them."""
    sql = "select class_id, count(*) as masks from labels group by all"
    rows = samseg.open(output).query(sql).to_pylist()
    return {row["class_id"]: row["masks"] for row in rows}


def agree(browser):
    """Check that the page counts what all other readers do."""
    now = browser.review.now
    assert dict(now.masks) == labels(browser.review.output)


def masks_of(browser, class_id):
    now = browser.review.refresh()
    return now.catalogue.mask_ids(now.rows_of(class_id))


def test_every_verb_is_seen_by_all_readers(browser, output):
    first, second, *_ = masks_of(browser, 0)
    assert "class 0 is called" in browser.post("name", **{"class": 0, "name": "  discs "})
    browser.post("merge", **{"class": [2, 3], "into": ""})
    agree(browser)
    browser.post("split", **{"class": 0})
    agree(browser)
    browser.post("move", mask=[first, second], into="1")
    agree(browser)
    browser.post("move", mask=[first], without="none")
    agree(browser)
    browser.post("ignore", **{"class": [1, 0]})
    browser.post("restore", **{"class": [0]})
    now = browser.review.now
    assert now.found.ignored == {1} and now.found.name(0) == "discs"
    page = browser.post("undo", edit=3)
    assert "undo edit 3" in page
    agree(browser)
    assert CREATED + 3 not in browser.review.now.found.current
    assert [e.author for e in now.edits] == ["ann"] * len(now.edits)
    assert ClassEditor(output).history()[0]["text"] == "class 0 is called 'discs'"


def test_the_largest_of_the_marked_classes_takes_the_others(browser):
    browser.post("merge", **{"class": [3, 0, 2], "into": ""})
    assert browser.review.now.found.into == {0: 0, 1: 1, 2: 0, 3: 0}


def test_single_masks_are_left_out_of_exports_and_taken_back(browser):
    masks = masks_of(browser, 0)[:3]
    browser.post("move", mask=masks, without="ignored")
    agree(browser)
    assert browser.review.now.masks[IGNORED] == 3
    assert "Ignored masks" in browser.get("/")
    page = browser.get("/classes/ignored")
    assert all(mask in page for mask in masks)
    browser.get(f"/masks/{masks[0]}?part=1")
    assert browser.client.get(f"/layers/1/{masks[0]}").headers["content-type"] == "image/webp"
    browser.post("move", mask=masks, into="0")
    agree(browser)


def test_an_undo_says_what_has_no_effect_without_it(browser):
    browser.post("split", **{"class": 0})
    browser.post("name", **{"class": CREATED + 1, "name": "half"})
    page = browser.post("undo", edit=1)
    assert "edit 2 has no effect now" in page and f"class {CREATED + 1} is gone" in page


@pytest.mark.parametrize(
    ("verb", "fields", "message"),
    [
        ("name", {"class": 0, "name": " "}, "name: is empty"),
        ("name", {"class": 0, "name": "12"}, "would be read as the id"),
        ("name", {"class": 9, "name": "x"}, "there is no class 9"),
        ("name", {"name": "x"}, "no class is marked"),
        ("merge", {"class": 0, "into": "0"}, "cannot be merged with itself"),
        ("merge", {"class": 0, "into": ""}, "mark two classes or more"),
        ("merge", {"class": 0, "into": "clas 1"}, "did you mean class 1"),
        ("move", {"into": "0"}, "no mask is marked"),
        ("move", {"mask": "x", "into": "0"}, "there is no mask"),
        ("move", {"mask": "x", "into": " "}, "no class is given"),
        ("undo", {"edit": "5"}, "there is no edit 5"),
        ("undo", {"edit": "x"}, "edit: "),
        ("restore", {"class": 0}, "class 0 is not ignored"),
        ("decide", {"class": 0}, "no mask is marked"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(browser, verb, fields, message):
    page = browser.post(verb, **fields)
    assert 'role="alert"' in page and message in browser.message(page)
    assert browser.review.refresh().newest == 0


def test_of_two_browsers_the_second_is_told_what_changed(browser, browse, output):
    browser.post("name", **{"class": 0, "name": "discs"})
    seen = browser.review.now.newest
    other = browse(output)
    other.post("name", **{"class": 0, "name": "coins"})
    page = browser.post("name", seen=seen, **{"class": 0, "name": "plates"})
    assert 'role="alert"' in page and "the classes were changed meanwhile" in page
    assert "name (edit 2 by ann" in page
    assert 'value="coins"' in page, "the page is made anew"
    assert browser.review.now.newest == 2
    page = browser.post("name", seen=seen, **{"class": 1, "name": "boxes"})
    assert 'role="status"' in page, "edits of different classes both land"
    page = browser.post("name", seen=3, **{"class": 0, "name": "plates"})
    assert 'role="status"' in page and other.review.refresh().found.name(0) == "plates"


def test_edits_of_the_command_line_show_at_once(browser, output):
    ClassEditor(output).merge(1, into=0)
    page = browser.get("/")
    assert 'id="class-1"' not in page and "merge class 1 into class 0" in browser.get("/history")
    agree(browser)


def test_after_a_refit_elsewhere_nothing_is_edited(browser, output, monkeypatch):
    monkeypatch.setattr(output, "codebook_versions", lambda: [1, 2])
    monkeypatch.setattr("samseg.review.session._LOOK_S", 0.0)
    monkeypatch.setattr(browser.review, "output", output)
    page = browser.post("name", **{"class": 0, "name": "x"})
    assert "a night has fitted the classes again" in page and "Stop <code>samseg review" in page
    assert browser.review.refresh().newest == 0
