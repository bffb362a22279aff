"""What edits make of the classes of a codebook."""

import numpy as np
import pyarrow as pa
import pytest

from samseg.edits.edit import (
    CREATED,
    Example,
    ExampleMask,
    Exemplar,
    Ignore,
    Merge,
    Move,
    Name,
    Refine,
    Split,
    Undo,
)
from samseg.edits.resolved import resolve
from samseg.edits.tables import MEMBERS

SIDE = (Exemplar(mask_id="a-0000", shard_id="0a"),)
CLASSES = [
    {"class_id": 0, "name": "class 0", "status": "active"},
    {"class_id": 1, "name": "class 1", "status": "active"},
    {"class_id": 2, "name": "", "status": "active"},
    {"class_id": 3, "name": "class 3", "status": "retired"},
]
OF_CELLS = np.array([0, 0, 1, 1, 2, -1], np.int32)
SECOND = np.array([False, True, False, True, True, True])
"""The new side of the split that is edit 1."""


@pytest.fixture
def resolved(replayed):
    """Return a function that resolves actions; all splits have the same sides."""

    def run(*actions, cells=OF_CELLS):
        sides = {n: SECOND[: len(cells)] for n in range(1, len(actions) + 1)}
        return resolve(replayed(actions), CLASSES, cells, sides if len(cells) else {})

    return run


def assignments(*rows):
    masks, classes, cells = zip(*rows, strict=True)
    return pa.table(
        {
            "mask_id": list(masks),
            "class_id": pa.array(classes, pa.int32()),
            "cell": pa.array(cells, pa.int32()),
        }
    )


ROWS = assignments(("a", 0, 0), ("b", 0, 1), ("c", 1, 2), ("d", 1, 3), ("e", 2, 4), ("f", -1, None))


def members(*rows):
    return pa.Table.from_pylist(
        [dict(zip(MEMBERS.names, row, strict=True)) for row in rows], schema=MEMBERS
    )


def test_without_edits_masks_keep_their_classes(resolved):
    found = resolved()
    assert found.class_ids(ROWS).tolist() == [0, 0, 1, 1, 2, -1]
    assert found.current == (0, 1, 2) and not found.ignored
    assert [found.name(c) for c in (0, 2, -1)] == ["class 0", "class 2", "noise"]


def test_merged_classes_are_one_and_a_retired_target_lives(resolved):
    found = resolved(Merge(class_ids=(0, 1), into=3), Name(class_id=3, name="nut"))
    assert found.class_ids(ROWS).tolist() == [3, 3, 3, 3, 2, -1]
    assert found.current == (2, 3) and found.name(3) == "nut"


def test_a_split_divides_cells(resolved):
    found = resolved(Split(class_id=0, kept=SIDE, new=SIDE))
    new = CREATED + 1
    assert found.class_ids(ROWS).tolist() == [0, new, 1, 1, 2, -1]
    assert found.current == (0, 1, 2, new)


def test_merges_and_splits_apply_in_their_order(resolved):
    split, merge = Split(class_id=0, kept=SIDE, new=SIDE), Merge(class_ids=(1,), into=0)
    first, second = CREATED + 1, CREATED + 2
    assert resolved(split, merge).class_ids(ROWS).tolist() == [0, first, 0, 0, 2, -1]
    assert resolved(merge, split).class_ids(ROWS).tolist() == [0, second, 0, second, 2, -1]
    back = Merge(class_ids=(first,), into=0)
    assert resolved(split, back).class_ids(ROWS).tolist() == resolved().class_ids(ROWS).tolist()


def test_an_undone_split_divides_nothing(resolved):
    found = resolved(Split(class_id=0, kept=SIDE, new=SIDE), Undo(edit=1))
    assert found.class_ids(ROWS).tolist() == [0, 0, 1, 1, 2, -1]
    assert found.current == (0, 1, 2) and found.cells.num_rows == 0


def test_a_moved_mask_follows_the_merges_of_its_class(resolved):
    move = Move(mask_ids=("a", "f"), into=1)
    assert resolved(move).class_ids(ROWS).tolist() == [1, 0, 1, 1, 2, 1]
    merged = resolved(move, Merge(class_ids=(1,), into=2))
    assert merged.class_ids(ROWS).tolist() == [2, 0, 2, 2, 2, 2]
    assert resolved(Move(mask_ids=("a",), into=None)).class_ids(ROWS).tolist()[0] == -1


def example(name):
    return Example(name=name, embedding="sam", accepted=(ExampleMask(vector=(1.0,)),))


def test_members_have_the_nearest_class_by_example_that_is_there(resolved):
    first, second, gone = (CREATED + n for n in (1, 2, 3))
    found = resolved(example("x"), example("y"), example("z"), Undo(edit=3))
    parts = members(
        ("a", first, 0.2), ("a", second, 0.1), ("a", gone, 0.0), ("f", first, 0.1), ("c", gone, 0.0)
    )
    assert found.class_ids(ROWS, parts).tolist() == [second, 0, 1, 1, 2, first]
    assert found.examples == (1, 2)


def test_a_refined_class_keeps_its_id_and_has_the_members_of_the_refinement(resolved):
    nut = CREATED + 1
    mask = ExampleMask(mask_id="c", vector=(1.0,))
    refine = Refine(class_id=nut, embedding="sam", accepted=(mask,))
    found = resolved(example("x"), refine)
    parts = members(("a", nut, 0.1), ("f", CREATED + 2, 0.2))
    assert found.examples == (2,) and found.name(nut) == "x"
    assert found.class_ids(ROWS, parts).tolist() == [0, 0, nut, 1, 2, nut]
    back = resolved(example("x"), refine, Undo(edit=2))
    assert back.examples == (1,) and back.class_ids(ROWS, parts).tolist() == [nut, 0, 1, 1, 2, -1]
    merged = resolved(example("x"), refine, Merge(class_ids=(nut,), into=2))
    assert merged.class_ids(ROWS, parts).tolist() == [0, 0, 2, 1, 2, 2]


def test_of_a_mask_accepted_and_later_rejected_the_last_word_counts(resolved):
    nut, mask = CREATED + 1, ExampleMask(mask_id="c", vector=(1.0,))
    no = Refine(class_id=nut, embedding="sam", rejected=(mask,))
    yes = Refine(class_id=nut, embedding="sam", accepted=(mask,))
    assert resolved(example("x"), yes, no).class_ids(ROWS).tolist()[2] == 1
    assert resolved(example("x"), yes, no, yes).class_ids(ROWS).tolist()[2] == nut


def test_a_move_wins_over_an_example(resolved):
    found = resolved(example("x"), Move(mask_ids=("a",), into=2))
    assert found.class_ids(ROWS, members(("a", CREATED + 1, 0.0))).tolist()[0] == 2


def test_ignored_classes_are_current_ones(resolved):
    found = resolved(Ignore(class_id=0), Ignore(class_id=1), Merge(class_ids=(1,), into=2))
    assert found.ignored == {0} and found.current == (0, 2)


def test_a_codebook_without_a_tree_keeps_a_split_class_whole(resolved):
    found = resolved(Split(class_id=0, kept=SIDE, new=SIDE), cells=np.zeros(0, np.int32))
    assert found.class_ids(ROWS.drop_columns("cell")).tolist() == [0, 0, 1, 1, 2, -1]


def test_counts_add_up_whatever_the_edits(resolved):
    found = resolved(
        Split(class_id=0, kept=SIDE, new=SIDE),
        Merge(class_ids=(1,), into=2),
        Move(mask_ids=("c",), into=CREATED + 1),
        Ignore(class_id=2),
    )
    classes = found.class_ids(ROWS)
    assert len(classes) == ROWS.num_rows and {*classes.tolist()} - {-1} <= {*found.current}
