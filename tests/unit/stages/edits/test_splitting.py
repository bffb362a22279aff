"""Splits: along the tree or by two masks, and what stands after a refit."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import samseg
from samseg import ledger, schema
from samseg.clustering import DBSCAN, HDBSCAN, KMeans, Linkage
from samseg.clustering.hierarchy import Hierarchy
from samseg.clustering.settings import ClusterSettings
from samseg.clustering.tree import Tree
from samseg.edits.edit import CREATED
from samseg.engine.local import Local
from samseg.errors import ConfigError
from samseg.stages.cluster.codebook_store import load_codebook
from samseg.stages.cluster.stage import cluster
from samseg.stages.edits.editor import ClassEditor
from samseg.stages.edits.sides import StoredExemplars, branch
from samseg.stages.edits.upkeep import keep_up

COARSE = ClusterSettings(fit=Linkage(threshold=1.9, min_size=2))
"""All masks in one class."""


@pytest.fixture
def made(small_output):
    found = small_output(codebook=False)
    cluster(found.output, COARSE, recipe_fingerprint="recipe")
    return found


def classes_of(output):
    rows = samseg.open(output).query("select mask_id, class_id from labels").to_pylist()
    return {row["mask_id"]: row["class_id"] for row in rows}


def sides(made):
    """Return how often a kind of mask (its true class) has each class."""
    found = classes_of(made.output)
    return Counter((kind, found[mask]) for mask, kind in made.class_of.items())


def test_a_split_follows_the_branches_of_the_tree(made):
    editor = ClassEditor(made.output)
    (whole,) = {*classes_of(made.output).values()}
    edit = editor.split(whole)
    assert edit.created == CREATED + 1
    counts = Counter(classes_of(made.output).values())
    assert {*counts} == {whole, edit.created} and counts[whole] >= counts[edit.created]
    kinds = [kind for kind, class_id in sides(made) if class_id == edit.created]
    assert len(kinds) == len({*kinds}), "a kind of masks is on one side"
    assert {row["class_id"]: row["masks"] for row in editor.list()} == counts


def test_a_split_by_two_masks_puts_each_on_a_side_of_its_own(made):
    editor = ClassEditor(made.output)
    (whole,) = {*classes_of(made.output).values()}
    disc, square = (min(m for m, kind in made.class_of.items() if kind == k) for k in (0, 1))
    editor.split(whole, by=[disc, square])
    found = classes_of(made.output)
    assert found[disc] != found[square]
    assert len({found[m] for m, kind in made.class_of.items() if kind == 0}) == 1


def test_a_part_can_be_split_named_and_merged_back(made):
    editor = ClassEditor(made.output)
    before = classes_of(made.output)
    (whole,) = {*before.values()}
    first = editor.split(whole).created
    second = editor.split(whole).created
    editor.name(first, "first part")
    assert Counter(classes_of(made.output).values()).keys() == {whole, first, second}
    editor.merge([first, second], into=whole)
    assert classes_of(made.output) == before
    editor.undo(4)
    editor.undo(1)
    assert {*classes_of(made.output).values()} == {whole, second}


def test_a_split_holds_under_another_codebook(made):
    editor = ClassEditor(made.output)
    (whole,) = {*classes_of(made.output).values()}
    disc, square = (min(m for m, kind in made.class_of.items() if kind == k) for k in (0, 1))
    new = editor.split(whole, by=[disc, square]).created
    editor.name(new, "the other side")
    before = classes_of(made.output)
    cluster(made.output, COARSE, refit=True, recipe_fingerprint="recipe")
    keep_up(made.output, 2, Local())
    assert samseg.open(made.output).codebook == 2
    assert classes_of(made.output) == before
    assert any(row["name"] == "the other side" for row in editor.list())


def test_what_cannot_be_divided_is_refused(made, small_output):
    editor = ClassEditor(made.output)
    (whole,) = {*classes_of(made.output).values()}
    masks = sorted(made.class_of)
    with pytest.raises(ConfigError, match="--by: got 1 masks, wanted two"):
        editor.split(whole, by=masks[:1])
    with pytest.raises(ConfigError, match="has no mask 'x-0'"):
        editor.split(whole, by=[masks[0], "x-0"])


@pytest.mark.parametrize(
    "fit",
    [DBSCAN(eps=1.9, min_samples=2), HDBSCAN(min_cluster_size=8), KMeans(classes=1)],
    ids=lambda fit: fit.kind,
)
def test_classes_of_every_strategy_can_be_divided(small_output, fit):
    made = small_output(codebook=False)
    cluster(made.output, ClusterSettings(fit=fit), recipe_fingerprint="recipe")
    editor = ClassEditor(made.output)
    before = Counter(classes_of(made.output).values())
    largest = max(c for c in before if c >= 0)
    new = editor.split(largest).created
    after = Counter(classes_of(made.output).values())
    assert after[largest] >= after[new] > 0
    assert after[largest] + after[new] == before[largest]
    kinds = [kind for kind, class_id in sides(made) if class_id == new]
    assert len(kinds) == len({*kinds}), "a kind of masks is on one side"


def test_a_split_holds_under_another_strategy(made):
    editor = ClassEditor(made.output)
    (whole,) = {*classes_of(made.output).values()}
    disc, square = (min(m for m, kind in made.class_of.items() if kind == k) for k in (0, 1))
    new = editor.split(whole, by=[disc, square]).created
    before = classes_of(made.output)
    other = ClusterSettings(fit=DBSCAN(eps=1.9, min_samples=2))
    cluster(made.output, other, refit=True, recipe_fingerprint="recipe")
    keep_up(made.output, 2, Local())
    assert samseg.open(made.output).codebook == 2
    assert classes_of(made.output) == before and new in before.values()


def test_codebooks_of_earlier_versions_may_have_no_tree(made, monkeypatch):
    editor = ClassEditor(made.output)
    (whole,) = {*classes_of(made.output).values()}
    earlier = replace(load_codebook(made.output, 1), hierarchy=None)
    monkeypatch.setattr(ClassEditor, "_codebook", lambda editor: earlier)
    with pytest.raises(ConfigError, match=r"codebook v1 was made by an earlier version.*--refit"):
        editor.split(whole)


def test_masks_are_looked_for_where_the_class_is(made, monkeypatch):
    output, editor = made.output, ClassEditor(made.output)
    found = editor._read()[2]
    exemplars = StoredExemplars(output, load_codebook(output, 1), found)
    (whole,) = found.current
    cells = dict.fromkeys(range(20), False)
    without, with_masks = sorted(output.committed())
    rows = ledger.read(output, output.sizes("assignments", 1), 1)
    assert rows.num_rows == 2
    counts = [
        row | ({"classes": []} if row["shard_id"] == without else {}) for row in rows.to_pylist()
    ]
    counted = schema.table_of(counts, schema.CLASS_LEDGER)
    monkeypatch.setattr(ledger, "read", lambda *args, **kwargs: counted)
    assert exemplars._shards(cells) == [with_masks]
    side, _ = exemplars.choose(whole, cells)
    assert {mask.shard_id for mask in side.masks} == {with_masks}
    monkeypatch.setattr(ledger, "read", lambda *args, **kwargs: counted.slice(0, 0))
    assert exemplars._shards(cells) == [without, with_masks], "shards that nobody has counted yet"


@pytest.mark.parametrize(
    ("sizes", "second"),
    [
        ([1, 50, 50, 80], [3]),  # the outlier that joins last divides nothing
        ([40, 50, 50, 80], [0]),
        ([1, 50, 2, 1], [2]),  # no branch is large: the largest of the small ones
    ],
    ids=["outlier", "last join", "outliers only"],
)
def test_the_main_join_of_a_class_is_not_that_of_its_outliers(sizes, second):
    tree = Tree(np.array([6, 4, 4, 5, 5, 6, -1]), np.array([0, 0, 0, 0, 0.1, 0.2, 0.3]))
    hierarchy = Hierarchy(tree, np.eye(4, dtype=np.float32), np.array(sizes), 0.5)
    assert np.flatnonzero(branch(hierarchy, np.arange(4))).tolist() == second
