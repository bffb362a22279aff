"""The log in an output folder: numbers, two people at once, damage."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from samseg.edits.edit import Ignore, Merge, Move, Name, Undo
from samseg.edits.log import append, read_log
from samseg.edits.replay import ClassState, replay
from samseg.errors import ConfigError, ConflictError, DamagedError, StorageError
from samseg.output import Output
from samseg.sealed_json import sealed


@pytest.fixture
def output(tmp_path):
    return Output(str(tmp_path / "output"))


def add(output, action, state=None, author="ann"):
    state = replay(read_log(output)) if state is None else state
    return append(output, action, author, "because", state)


def test_edits_are_numbered_from_one_and_read_back(output):
    first = add(output, Name(class_id=3, name="nut"))
    second = add(output, Ignore(class_id=1))
    assert [first.number, second.number] == [1, 2]
    assert read_log(output) == [first, second] and read_log(output, after=1) == [second]
    assert first.author == "ann" and first.reason == "because" and first.time.endswith("+00:00")


def test_edits_that_concern_nothing_in_common_both_land(output):
    as_read = ClassState()
    add(output, Name(class_id=1, name="nut"), as_read)
    later = add(output, Name(class_id=2, name="leaf"), as_read, author="bob")
    assert later.number == 2
    assert replay(read_log(output)).names == {1: "nut", 2: "leaf"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Name(class_id=1, name="nut"), Name(class_id=1, name="leaf")),
        (Name(class_id=1, name="Nut"), Name(class_id=2, name="nut")),
        (Merge(class_ids=(1,), into=2), Ignore(class_id=1)),
        (Merge(class_ids=(1,), into=2), Merge(class_ids=(2,), into=1)),
        (Merge(class_ids=(1,), into=2), Move(mask_ids=("m",), into=1)),
        (Move(mask_ids=("m", "n"), into=1), Move(mask_ids=("n",), into=None)),
    ],
)
def test_who_comes_second_is_told_what_changed_by_whom_and_when(output, first, second):
    as_read = ClassState()
    edit = add(output, first, as_read, author="ann")
    with pytest.raises(ConflictError, match=rf"{first.action} \(edit 1 by ann at {edit.time[:10]}"):
        add(output, second, as_read, author="bob")
    assert len(read_log(output)) == 1


def test_an_undo_and_an_edit_of_the_undone_class_conflict(output):
    add(output, Name(class_id=1, name="nut"))
    as_read = replay(read_log(output))
    add(output, Undo(edit=1), as_read)
    with pytest.raises(ConflictError):
        add(output, Ignore(class_id=1), as_read)


def test_many_writers_at_once_lose_nothing(output):
    with ThreadPoolExecutor(8) as threads:
        made = list(
            threads.map(
                lambda n: add(Output(output.uri), Name(class_id=n, name=f"name {n}")), range(24)
            )
        )
    assert sorted(edit.number for edit in made) == list(range(1, 25))
    assert replay(read_log(output)).names == {n: f"name {n}" for n in range(24)}


def test_what_does_not_apply_is_not_written(output):
    with pytest.raises(ConfigError, match="no edit 4"):
        add(output, Undo(edit=4))
    with pytest.raises(ConfigError, match="author: is empty"):
        add(output, Name(class_id=1, name="nut"), author=" ")
    with pytest.raises(ConfigError, match="reason"):
        append(output, Name(class_id=1, name="nut"), "ann", "x" * 1001, ClassState())
    assert read_log(output) == []


def test_a_missing_edit_is_named(output):
    for n in range(3):
        add(output, Ignore(class_id=n))
    output.storage.delete(output.edit_key(2))
    with pytest.raises(StorageError, match=r"000002\.json, and later edits are there; restore it"):
        read_log(output)


@pytest.mark.parametrize(
    "change",
    [
        {"author": "eve"},
        {"class_id": 2},
    ],
)
def test_a_changed_edit_is_damage(output, change):
    add(output, Ignore(class_id=1))
    key = output.edit_key(1)
    values = json.loads(output.storage.get(key)) | change
    output.storage.replace(key, json.dumps(values).encode())
    with pytest.raises(DamagedError, match=r"000001\.json"):
        read_log(output)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "has format 3, .* reads format 2; upgrade"),
        ({"action": "explode"}, "is damaged"),
        ({"class_id": "one"}, "is damaged"),
    ],
)
def test_what_this_version_does_not_know_is_named(output, change, message):
    add(output, Ignore(class_id=1))
    values = output.read_json(output.edit_key(1)) | change
    output.storage.replace(output.edit_key(1), sealed(values))
    with pytest.raises(StorageError, match=rf"000001\.json {message}"):
        read_log(output)
