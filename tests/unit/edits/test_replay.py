"""The replay: one result for any log, whatever was undone."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samseg.edits.edit import (
    CREATED,
    Example,
    ExampleMask,
    Exemplar,
    Ignore,
    Merge,
    Move,
    Name,
    Redraw,
    Restore,
    Split,
    Undo,
)
from samseg.edits.replay import replay
from samseg.types import IGNORED
from tests.unit.edits.conftest import numbered

CLASSES = 5
SIDE = (Exemplar(mask_id="a-0000", shard_id="0a"),)
ids = st.integers(0, CLASSES) | st.integers(1, 12).map(lambda n: CREATED + n)
masks = st.sampled_from(["a-0000", "a-0001", "b-0000"])
actions = st.one_of(
    st.builds(Name, class_id=ids, name=st.sampled_from(["nut", "leaf", "<b>"])),
    st.lists(ids, min_size=2, max_size=4, unique=True).map(
        lambda found: Merge(class_ids=tuple(found[1:]), into=found[0])
    ),
    st.builds(Split, class_id=ids, kept=st.just(SIDE), new=st.just(SIDE)),
    st.builds(Ignore, class_id=ids),
    st.builds(Restore, class_id=ids),
    st.builds(Move, mask_ids=masks.map(lambda m: (m,)), into=st.none() | ids),
    st.builds(
        Example,
        name=st.just("crack"),
        embedding=st.just("sam"),
        accepted=masks.map(lambda m: (ExampleMask(mask_id=m, vector=(1.0,)),)),
    ),
    st.builds(Undo, edit=st.integers(1, 12)),
)
logs = st.lists(actions, max_size=12).map(numbered)


def holds(state):
    """Return what a state says of classes and masks, without the log itself."""
    return (
        state.names,
        state.merged,
        state.ignored.keys(),
        state.created.keys(),
        state.moved,
        [edit.number for edit in state.applied],
    )


@given(logs, st.randoms())
def test_the_order_of_reading_does_not_matter(log, order):
    shuffled = log.copy()
    order.shuffle(shuffled)
    assert replay(shuffled) == replay(log)


@given(logs)
def test_every_edit_is_applied_undone_or_idle(log):
    state = replay(log)
    applied = {edit.number for edit in state.applied}
    undos = {edit.number for edit in log if isinstance(edit.action, Undo)} - state.idle.keys()
    parts = [applied, {*state.undone}, {*state.idle}, undos]
    assert sum(map(len, parts)) == len(log) == len(set().union(*parts))
    assert {*state.undone.values()} == undos


@given(logs)
def test_merges_have_no_circles_and_end_at_a_class_that_is_there(log):
    state = replay(log)
    for class_id in state.merged:
        end = state.final(class_id)  # does not end in a circle
        assert end not in state.merged
        assert end < CREATED or end in state.created


@given(logs)
def test_ids_of_created_classes_are_unique_and_above_those_of_codebooks(log):
    created = [edit.created for edit in replay(log).applied if edit.created is not None]
    assert len(created) == len({*created}) and all(c > CREATED for c in created)


@given(logs, st.integers(1, 12))
def test_an_undo_leaves_what_a_log_without_the_edit_has(log, number):
    undone = numbered([*(edit.action for edit in log), Undo(edit=number)])
    state = replay(undone)
    if state.undone.get(number) != len(undone):
        assert holds(state) == holds(replay(log))
        return
    without = [edit for edit in log if edit.number != number]
    assert holds(state) == holds(replay(without))


@given(logs)
def test_undoing_all_edits_leaves_nothing(log):
    actions = [edit.action for edit in log]
    numbers = [edit.number for edit in log if not isinstance(edit.action, Undo)]
    random.Random(len(log)).shuffle(numbers)
    state = replay(numbered([*actions, *(Undo(edit=n) for n in numbers)]))
    assert holds(state) == ({}, {}, {}.keys(), {}.keys(), {}, [])


@pytest.mark.parametrize(
    ("earlier", "action", "why"),
    [
        ([], Merge(class_ids=(1,), into=1), "class 1 cannot be merged with itself"),
        ([Merge(class_ids=(1,), into=2)], Merge(class_ids=(2,), into=1), "merged into class 2"),
        ([Merge(class_ids=(1,), into=2)], Name(class_id=1, name="a"), r"class 1 was merged .*ann"),
        ([Ignore(class_id=1)], Ignore(class_id=1), "is ignored already, since edit 1 by ann"),
        ([], Restore(class_id=1), "class 1 is not ignored"),
        ([], Name(class_id=CREATED + 4, name="a"), f"there is no class {CREATED + 4}"),
        ([], Undo(edit=1), "there is no edit 1; the newest is 0"),
        ([Ignore(class_id=1), Undo(edit=1)], Undo(edit=1), "was undone by edit 2 by ann"),
        (
            [Ignore(class_id=1), Undo(edit=1)],
            Undo(edit=2),
            r"edit 2 is an undo, which cannot be undone; make edit 1 \(ignore\) again",
        ),
        (
            [Split(class_id=1, kept=SIDE, new=SIDE), Undo(edit=1)],
            Ignore(class_id=CREATED + 1),
            "is gone, because edit 1 was undone",
        ),
        (
            [Example(name="c", embedding="sam", accepted=(ExampleMask(vector=(1.0,)),))],
            Split(class_id=CREATED + 1, kept=SIDE, new=SIDE),
            "defined by examples",
        ),
    ],
)
def test_what_does_not_apply_is_refused_and_says_why(replayed, earlier, action, why):
    assert re.search(why, replayed(earlier).refusal(action))
    state = replayed([*earlier, action])
    assert holds(state) == holds(replayed(earlier))
    assert re.search(why, state.idle[len(earlier) + 1])


def test_an_edit_that_needed_an_undone_one_has_no_effect(replayed):
    state = replayed(
        [
            Split(class_id=1, kept=SIDE, new=SIDE),
            Name(class_id=CREATED + 1, name="green"),
            Name(class_id=1, name="red"),
            Undo(edit=1),
        ]
    )
    assert state.names == {1: "red"} and list(state.idle) == [2]


def test_the_last_move_of_a_mask_counts(replayed):
    moves = [Move(mask_ids=("m",), into=into) for into in (1, None, 2)]
    assert replayed(moves).moved == {"m": 2}
    assert replayed([*moves, Undo(edit=3)]).moved == {"m": -1}


def test_an_ignored_mask_is_of_no_class_until_it_is_moved(replayed):
    ignored = Move(mask_ids=("m",), into="ignored")
    assert replayed([ignored]).moved == {"m": IGNORED}
    assert replayed([ignored, Move(mask_ids=("m",), into=1)]).moved == {"m": 1}


def test_the_last_outline_of_a_mask_counts(replayed):
    drawn = [Redraw(mask_ids=tuple(masks), correction=n) for n, masks in enumerate(("ab", "bc"), 1)]
    state = replayed(drawn)
    assert {m: edit.number for m, edit in state.outlined.items()} == {"a": 1, "b": 2, "c": 2}
    assert set(replayed([*drawn, Undo(edit=2)]).outlined) == {"a", "b"}
