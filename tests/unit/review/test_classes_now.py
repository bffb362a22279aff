"""The classes in memory: after any edits the same as if the folder had been read anew."""

import numpy as np
import pytest

from samseg.edits.edit import CREATED, ExampleMask
from samseg.edits.log import read_log
from samseg.engine.local import Local
from samseg.errors import ConfigError
from samseg.review.catalogue import load_catalogue
from samseg.review.classes_now import classes_now
from samseg.stages.edits.editor import ClassEditor
from samseg.stages.edits.upkeep import keep_up

EDITS = [
    lambda e, m: e.name(0, "discs"),
    lambda e, m: e.split(0),
    lambda e, m: e.move(m[:9], into=2),
    lambda e, m: e.merge([1, 2], into=3),
    lambda e, m: e.move(m[3:5], into=None),
    lambda e, m: e.ignore(3),
    lambda e, m: e.undo(3),
    lambda e, m: e.example("mine", "sam", [ExampleMask(mask_id=m[0], vector=vector(m[0]))]),
    lambda e, m: e.merge(CREATED + 2, into=CREATED + 8),
    lambda e, m: e.undo(4),
    lambda e, m: e.undo(8),
]


def vector(mask_id):
    axis = np.zeros(256)
    axis[0] = 5.0
    return tuple(axis)


def test_edits_one_by_one_give_what_all_at_once_do(output):
    catalogue = load_catalogue(output, 1)
    now = classes_now(output, catalogue, [])
    editor, masks = ClassEditor(output), catalogue.mask_ids(np.arange(20))
    for edit in EDITS:
        edit(editor, masks)
        keep_up(output, 1, Local())
        now = now.after(output, read_log(output))
        anew = classes_now(output, catalogue, read_log(output))
        assert now.class_ids.tolist() == anew.class_ids.tolist()
        assert now.decided.tolist() == anew.decided.tolist()
        assert now.masks == anew.masks and now.unsure == anew.unsure
        for class_id in (*now.found.current, -1):  # kept from before the edit, or found now
            assert now.rows_of(class_id).tolist() == anew.rows_of(class_id).tolist()
        assert {r["class_id"]: r["masks"] for r in editor.list()} == {
            c: now.masks[c] for c in now.found.current
        }


def test_masks_are_found_by_their_ids(output):
    catalogue = load_catalogue(output, 1)
    ids = catalogue.mask_ids(np.arange(len(catalogue)))
    assert ids == sorted(ids) and len(ids) == 56
    assert [catalogue.find(mask) for mask in ids] == list(range(56))
    for absent in ("", "zzz", ids[3] + "0", ids[3][:-1]):
        assert catalogue.find(absent) is None
    assert len(catalogue.image_rows(ids[9][:20])) == 7
    assert len(catalogue.image_rows("f" * 20)) == 0
    many = [*ids, *(f"{i:024d}" for i in range(2000))]
    assert catalogue.rows_of(many).tolist() == list(range(56))
    assert catalogue.located(ids[:1])[0].shard_id in output.committed()
    with pytest.raises(ConfigError, match="there is no mask 'x'"):
        catalogue.located([ids[0], "x"])
