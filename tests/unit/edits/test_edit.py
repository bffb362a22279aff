"""One edit: what it stores, and what is refused."""

import json

import pytest
from pydantic import ValidationError

from samseg.edits.edit import (
    CREATED,
    Edit,
    Example,
    ExampleMask,
    Exemplar,
    Ignore,
    Merge,
    Move,
    Name,
    Refine,
    Restore,
    Split,
    Undo,
    touched,
)

SIDE = (Exemplar(mask_id="a-0000", shard_id="0a"),)
EVERY = [
    Name(class_id=3, name="hazel nut"),
    Merge(class_ids=(1, 2), into=3),
    Split(class_id=3, kept=SIDE, new=SIDE),
    Ignore(class_id=3),
    Restore(class_id=3),
    Move(mask_ids=("a-0000", "a-0001"), into=None),
    Move(mask_ids=("a-0000",), into=4),
    Example(name="crack", embedding="sam", accepted=(ExampleMask(vector=(1.0, 0.5)),)),
    Refine(class_id=CREATED + 1, embedding="sam", rejected=(ExampleMask(vector=(1.0, 0.5)),)),
    Undo(edit=2),
]


@pytest.mark.parametrize("action", EVERY, ids=lambda a: a.action)
def test_an_edit_survives_its_json(action):
    edit = Edit(7, "2026-11-27T16:00:00+00:00", "ann", "why not", action)
    stored = json.loads(json.dumps(edit.to_json()))
    assert stored["action"] == action.action and stored["author"] == "ann"
    assert Edit.from_json(7, stored) == edit
    assert stored["format"] == 1


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "'; drop table classes; --",
        "\x1b[2J",
        "\u202eevil",
        "a\nb",
        "🌰",
    ],
)
def test_hostile_names_are_kept_as_typed(name):
    edit = Edit(1, "now", name, name, Name(class_id=0, name=name))
    assert Edit.from_json(1, json.loads(json.dumps(edit.to_json()))) == edit


@pytest.mark.parametrize("name", ["", "  ", "\t", "x" * 201, "12", " 7 ", "\ud800"])
def test_names_that_cannot_be_are_refused(name):
    with pytest.raises(ValidationError):
        Name(class_id=0, name=name)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Merge(class_ids=(), into=1),
        lambda: Merge(class_ids=(2, 2), into=1),
        lambda: Move(mask_ids=(), into=1),
        lambda: Name(class_id=-1, name="noise"),
        lambda: Split(class_id=1, kept=SIDE * 51, new=SIDE),
        lambda: Undo(edit=0),
        lambda: Example(name="x", embedding="sam", accepted=()),
        lambda: Example(name="x", embedding="sam", accepted=(ExampleMask(vector=(float("nan"),)),)),
    ],
)
def test_actions_that_mean_nothing_are_refused(make):
    with pytest.raises(ValidationError):
        make()


def test_only_splits_and_examples_create_a_class():
    created = {a.action for a in EVERY if Edit(5, "", "ann", "", a).created == CREATED + 5}
    assert created == {"split", "example"}


def test_an_undo_concerns_what_the_undone_edit_concerns():
    earlier = {2: Name(class_id=3, name="nut")}
    assert touched(earlier[2], {}) <= touched(Undo(edit=2), earlier)
    assert touched(Undo(edit=2), earlier) & touched(Ignore(class_id=CREATED + 2), {})


def test_refinements_by_other_masks_concern_nothing_in_common():
    first, second, again = (
        Refine(class_id=CREATED + 1, embedding="sam", accepted=(mask,))
        for mask in (ExampleMask(mask_id=m, vector=(1.0,)) for m in ("a", "b", "a"))
    )
    assert not touched(first, {}) & touched(second, {})
    assert touched(first, {}) & touched(again, {}) & touched(Move(mask_ids=("a",), into=1), {})
