"""Classes by example: their members, written by a map that may be killed at any write."""

import itertools

import numpy as np
import pytest

import samseg
from samseg import schema
from samseg.clustering import Linkage
from samseg.clustering.settings import ClusterSettings
from samseg.edits.edit import CREATED, ExampleMask
from samseg.engine.local import Local
from samseg.stages.edits.editor import ClassEditor
from samseg.stages.edits.upkeep import keep_up
from samseg.storage import ObjectStorage
from samseg.types import NOISE

TREE = ClusterSettings(fit=Linkage())


class Killed(SystemExit):
    """Simulates SIGKILL: nothing handles it."""


class KillingStorage(ObjectStorage):
    """A storage that raises `Killed` at its n-th write, before or after it takes effect."""

    def __init__(self, uri, writes, after):
        super().__init__(uri)
        self.last, self.after = writes, after
        self.writes = itertools.count(1)  # threads write, too

    def put_new(self, key, payload):
        is_last = next(self.writes) == self.last
        if is_last and not self.after:
            raise Killed
        created = super().put_new(key, payload)
        if is_last:
            raise Killed
        return created


def vectors(lake):
    """Return the embedding of every mask that has one."""
    found = {}
    for shard in sorted(lake.committed()):
        part = lake.read(lake.masks_key(shard), ["mask_id", "embedding"])
        part = part.filter(part["embedding"].is_valid())
        rows = schema.matrix_of(part["embedding"])
        found |= dict(zip(part["mask_id"].to_pylist(), rows, strict=True))
    return found


def chosen(found, masks):
    return [ExampleMask(mask_id=m, vector=tuple(found[m].astype(float).tolist())) for m in masks]


@pytest.fixture
def fitted(lake):
    lake.night(TREE)
    return lake


def of_kind(lake, kind):
    return sorted(mask for mask, k in lake.truth().items() if k == kind)


def test_examples_take_the_masks_like_them_and_later_shards_too(fitted):
    found, wanted = vectors(fitted), of_kind(fitted, 2)
    # the example is much nearer to its kind than the class's mean is to all of its members
    edit = ClassEditor(fitted).example(
        "nut", "sam", chosen(found, wanted[:6]), chosen(found, of_kind(fitted, 1)[:2])
    )
    assert keep_up(fitted, 1, Local()) == 3
    assert keep_up(fitted, 1, Local()) == 0
    members = {c: set() for c in (1, 2, 3)}
    for mask, class_id in labels(fitted).items():
        if class_id == edit.created and mask in fitted.truth():
            members.setdefault(fitted.truth()[mask], set()).add(mask)
    assert {*wanted[:6]} <= members[2] and not members[1] and not members[3]
    fitted.add_shard("d")
    fitted.night(TREE)
    assert keep_up(fitted, 1, Local()) == 1
    assert "d" in fitted.member_shards(1, edit.number)


def labels(lake):
    rows = samseg.open(lake).query("select mask_id, class_id from labels").to_pylist()
    return {row["mask_id"]: row["class_id"] for row in rows}


def test_accepted_masks_are_members_and_rejected_ones_never(fitted):
    found = vectors(fitted)
    noise = sorted(m for m, c in fitted.classes(1).items() if c == NOISE and m in found)
    accepted, rejected = noise[:1], of_kind(fitted, 0)[:1]
    edit = ClassEditor(fitted).example(
        "odd", "sam", chosen(found, accepted), chosen(found, rejected)
    )
    keep_up(fitted, 1, Local())
    now = labels(fitted)
    assert now[accepted[0]] == edit.created and now[rejected[0]] != edit.created
    ClassEditor(fitted).undo(edit.number)
    assert labels(fitted) == fitted.classes(1)


def test_an_example_survives_a_refit(fitted):
    found, wanted = vectors(fitted), of_kind(fitted, 2)
    edit = ClassEditor(fitted).example("nut", "sam", chosen(found, wanted[:3]))
    keep_up(fitted, 1, Local())
    fitted.night(TREE, refit=True)
    keep_up(fitted, 2, Local())
    now = labels(fitted)
    assert samseg.open(fitted).codebook == 2
    assert {now[mask] for mask in wanted[:3]} == {edit.created}
    assert ClassEditor(fitted).list()[-1]["name"] == "nut" or edit.created in now.values()


def test_an_example_of_another_embedding_has_its_accepted_masks_only(fitted):
    found, wanted = vectors(fitted), of_kind(fitted, 2)
    edit = ClassEditor(fitted).example("nut", "other", chosen(found, wanted[:3]))
    assert keep_up(fitted, 1, Local()) == 0
    members = sorted(m for m, c in labels(fitted).items() if c == edit.created)
    assert members == sorted(wanted[:3])


def test_a_map_killed_at_any_write_is_completed_by_the_next(fitted, tmp_path):
    found, wanted = vectors(fitted), of_kind(fitted, 2)
    ClassEditor(fitted).example("nut", "sam", chosen(found, wanted[:3]))
    for name in ("classes", "cells", "moves", "outlines"):  # of the edit; a night writes them, too
        fitted.storage.delete(fitted.resolved_key(1, 1, name))
    calm = fitted.copied_to(tmp_path / "calm")
    keep_up(calm, 1, Local())
    want, kills = calm.tree(), 0
    for writes in range(1, 20):
        for after in (False, True):
            copy = fitted.copied_to(tmp_path / f"{writes}{after}")
            copy.storage = KillingStorage(copy.uri, writes, after)
            try:
                keep_up(copy, 1, Local())
            except Killed:
                again = copy.at(copy.uri)
                assert labels(again).keys() == labels(calm).keys()
                keep_up(again, 1, Local())
                assert again.tree() == want
                kills += 1
    assert kills == 2 * len(want.keys() - fitted.tree().keys()) == 2 * (3 + 4 + 1)


def test_the_nearer_of_two_examples_has_a_mask(fitted):
    found, kind = vectors(fitted), of_kind(fitted, 2)
    first = ClassEditor(fitted).example("one", "sam", chosen(found, kind[:4])).created
    second = ClassEditor(fitted).example("other", "sam", chosen(found, kind[4:8])).created
    keep_up(fitted, 1, Local())
    parts = [
        fitted.read(fitted.members_key(1, edit, shard))
        for edit in (1, 2)
        for shard in sorted(fitted.committed())
    ]
    nearest = {}
    for row in (row for part in parts for row in part.to_pylist()):
        known = nearest.setdefault(row["mask_id"], row)
        nearest[row["mask_id"]] = min(known, row, key=lambda r: (r["distance"], r["class_id"]))
    now, accepted = labels(fitted), {*kind[:8]}
    assert {m for m in now if now[m] in (first, second)} == nearest.keys() | accepted
    for mask, row in nearest.items():
        if mask not in accepted:
            assert now[mask] == row["class_id"]
    assert CREATED < first < second and np.isfinite([r["distance"] for r in nearest.values()]).all()


def test_a_refinement_has_members_of_its_own_and_its_undo_brings_the_earlier_ones_back(fitted):
    found, wanted, others = vectors(fitted), of_kind(fitted, 2), of_kind(fitted, 1)
    editor = ClassEditor(fitted)
    nut = editor.example("nut", "sam", chosen(found, wanted[:3])).created
    keep_up(fitted, 1, Local())
    before = labels(fitted)
    inside = next(mask for mask in wanted[3:] if before[mask] == nut)
    accepted = [mask for mask in (*wanted[3:6], others[0]) if mask != inside]
    editor.refine("nut", chosen(found, accepted), chosen(found, [inside]))
    assert keep_up(fitted, 1, Local()) == 3
    assert len(fitted.member_shards(1, 1)) == len(fitted.member_shards(1, 2)) == 3
    after = labels(fitted)
    assert after[others[0]] == nut and after[inside] != nut and after != before
    editor.undo(2)
    assert keep_up(fitted, 1, Local()) == 0 and labels(fitted) == before


def test_the_verbs_of_an_opened_folder_write_the_members(fitted):
    found, wanted, tables = vectors(fitted), of_kind(fitted, 2), samseg.open(fitted)

    def members():
        rows = tables.query("select mask_id from labels where name = 'nut'").to_pylist()
        return {row["mask_id"] for row in rows}

    nut = tables.classes.example("nut", "sam", chosen(found, wanted[:3])).created
    assert {*wanted[:3]} < members()
    inside = next(mask for mask in wanted[3:] if mask in members())
    tables.classes.refine(nut, chosen(found, wanted[3:6]), chosen(found, [inside]))
    assert {*wanted[:6]} - {inside} < members() and inside not in members()
    assert keep_up(fitted, 1, Local()) == 0, "nothing is left to write"
    tables.classes.undo(2)
    assert inside in members()
