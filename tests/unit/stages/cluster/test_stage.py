"""The cluster stage: the first night, assigning nights, granularity, and edge cases."""

from dataclasses import replace

import numpy as np
import pytest

from samseg import schema
from samseg.class_counts import ClassCounts
from samseg.clustering import DBSCAN, HDBSCAN, KMeans, Linkage
from samseg.clustering.build import build
from samseg.clustering.settings import ClusterSettings
from samseg.engine import Local
from samseg.errors import CodebookError
from samseg.output import Output
from samseg.stages.cluster.assign import assign
from samseg.stages.cluster.codebook_store import load_codebook
from samseg.stages.cluster.embeddings import Embeddings
from samseg.stages.cluster.stage import cluster

DEFAULT_FIT = DBSCAN(eps=0.2, min_samples=4)
"""The default of `lake.night()`."""
BOTH = pytest.mark.parametrize(
    "settings", [ClusterSettings(fit=DEFAULT_FIT), ClusterSettings()], ids=["dbscan", "linkage"]
)


# ---------------------------------------------------------------------- assigning nights


def test_the_first_night_fits_the_classes(lake):
    report = lake.night()
    assert (report.version, report.refitted, report.reason) == (1, True, "first")
    assert report.classes == report.born == lake.kinds
    assert report.retired == 0
    found = lake.classes(1)
    by_kind = [
        {found[m] for m, kind in lake.truth().items() if kind == k} for k in range(lake.kinds)
    ]
    assert all(len(ids) == 1 and -1 not in ids for ids in by_kind)
    assert len(set.union(*by_kind)) == lake.kinds


def test_the_default_settings_find_the_classes(lake):
    report = lake.night(ClusterSettings())
    assert report.classes == lake.kinds
    found = lake.classes(1)
    ids = {kind: {found[m] for m, k in lake.truth().items() if k == kind} for kind in range(4)}
    assert all(len(i) == 1 for i in ids.values())
    assert set.union(*ids.values()) == set(range(lake.kinds))


def test_eps_chosen_automatically_comes_with_its_curve(lake):
    report = lake.night(ClusterSettings(fit=DBSCAN()))
    assert report.classes == lake.kinds
    assert report.eps in [row["eps"] for row in report.curve]
    assert not report.remark


def test_where_eps_falls_back_it_is_said(empty_lake):
    empty_lake.add_shard("a", images=1)
    report = empty_lake.night(ClusterSettings(fit=DBSCAN()))
    assert "eps: auto fell back to 0.1" in report.remark
    assert load_codebook(empty_lake).notes["remark"] == report.remark


def test_a_radius_that_moves_in_a_refit_is_said(empty_lake):
    settings = ClusterSettings(fit=DBSCAN())
    empty_lake.add_shard("a", images=1)
    assert empty_lake.night(settings).eps == 0.1
    for shard in "bcd":
        empty_lake.add_shard(shard)
    report = empty_lake.night(settings)
    assert report.notes() == [f"eps: auto moved from 0.1 to {report.eps:g}"]
    assert empty_lake.night(settings, refit=True).remark == ""


def test_counts_add_up(lake):
    calls = []
    report = lake.night(on_progress=calls.append)
    found = lake.classes(1)
    assert report.masks == report.new_masks == len(found) == 3 * 6 * (lake.kinds + 3)
    assert report.assigned == sum(c >= 0 for c in found.values())
    assert report.noise == sum(c < 0 for c in found.values())
    assert report.invalid == 18
    assert calls == [42, 84, 126]


def test_masks_without_an_embedding_are_noise_without_distance(lake):
    lake.night()
    part = lake.read(lake.assignments_key(1, "a")).to_pylist()
    empty = [row for row in part if row["mask_id"].endswith(f"-{lake.kinds + 2:04d}")]
    assert len(empty) == 6
    assert all((r["class_id"], r["distance"], r["margin"]) == (-1, None, None) for r in empty)
    others = [row for row in part if row not in empty]
    assert all(row["distance"] >= 0 and row["margin"] >= 0 for row in others)
    assert {row["codebook"] for row in part} == {1}


def test_an_assignments_part_has_the_row_order_of_its_masks_part(lake):
    lake.night()
    for shard in "abc":
        masks = lake.read(lake.masks_key(shard), ["mask_id"])["mask_id"]
        assert lake.read(lake.assignments_key(1, shard))["mask_id"].equals(masks)


def test_a_second_night_assigns_new_shards_only(lake, monkeypatch):
    lake.night()
    before = lake.tree()
    lake.add_shard("d")
    keys_read = []
    read = Output.read

    def noted(self, key, columns=None, rows=None):
        if columns != ["status"]:  # of every part, to see how the lake has grown
            keys_read.append(key)
        return read(self, key, columns, rows)

    monkeypatch.setattr(Output, "read", noted)
    report = lake.night()
    assert (report.version, report.refitted, report.reason) == (1, False, "")
    assert report.masks == report.new_masks == 42
    assert report.born == report.retired == 0
    assert [key for key in keys_read if not key.startswith("classes/v000001/")] == [
        "masks/part-d.parquet"
    ]
    after = lake.tree()
    assert {k: after[k] for k in before} == before
    assert set(after) - set(before) == {
        "masks/part-d.parquet",
        "images/part-d.parquet",
        "classes/v000001/assignments/part-d.parquet",
        "classes/v000001/ledger/000001.parquet",
    }


def test_a_night_without_new_shards_writes_nothing(lake):
    lake.night()
    before = lake.tree()
    report = lake.night()
    assert (report.masks, report.new_masks, report.classes) == (0, 0, lake.kinds)
    assert lake.tree() == before


@BOTH
def test_masks_have_a_class_exactly_if_one_of_its_prototypes_is_within_the_radius(lake, settings):
    lake.night(settings)
    lake.add_shard("d")
    lake.night(settings)
    codebook = load_codebook(lake)
    prototypes = codebook.prototypes.vectors.astype(np.float64)
    for shard in "abcd":
        masks = lake.read(lake.masks_key(shard))
        masks = masks.filter(schema.pa.compute.equal(masks["status"], "ok"))
        points = codebook.transform.apply(schema.matrix_of(masks["embedding"]))[0]
        distance = 1 - points.astype(np.float64) @ prototypes.T
        found = lake.classes(1)
        for mask_id, row in zip(masks["mask_id"].to_pylist(), distance, strict=True):
            near = row <= codebook.prototypes.radii
            ids = set(codebook.prototypes.class_ids[near].tolist())
            assert found[mask_id] in ids if ids else found[mask_id] == -1


@BOTH
def test_neither_the_order_of_nights_nor_of_shards_matters(tmp_path, lake, settings):
    lake.night(settings)
    lake.add_shard("d")
    lake.add_shard("e")
    lake.night(settings)
    other = lake.at(tmp_path / "other")
    for shard in ("c", "a", "b"):
        other.add_shard(shard)
    other.night(settings)
    for shard in ("e", "d"):
        other.add_shard(shard)
        other.night(settings)
    trees = [
        {key: of for key, of in tree.items() if "/ledger/" not in key}
        for tree in (other.tree(), lake.tree())
    ]
    assert trees[0] == trees[1]
    counts = [ClassCounts.of(of.read_ledger()) for of in (other, lake)]
    assert counts[0] == counts[1] and counts[0].masks == len(lake.classes(1))


@BOTH
def test_the_length_of_embeddings_does_not_matter(tmp_path, lake, settings):
    other = lake.at(tmp_path / "other")
    for shard in "abc":
        other.add_shard(shard, scale=0.125)
    lake.night(settings)
    other.night(settings)
    assert other.classes(1) == lake.classes(1)


@BOTH
def test_the_fit_sample_does_not_depend_on_how_masks_are_packed_into_shards(
    tmp_path, lake, settings
):
    small = settings.model_copy(update={"reference": 40})
    lake.night(small)
    codebook = load_codebook(lake)
    assert 40 <= codebook.notes["reference"] < codebook.notes["masks"]
    assert codebook.notes["masks"] == 3 * 6 * (lake.kinds + 2)
    other = lake.at(tmp_path / "other")
    parts = [lake.read(lake.masks_key(shard)) for shard in "abc"]
    whole = schema.encode(schema.pa.concat_tables(parts))
    other.storage.put_new(other.masks_key("f"), whole)
    other.storage.put_new(other.images_key("f"), schema.encode(schema.IMAGES.empty_table()))
    other.night(small)
    assert other.classes(1) == lake.classes(1)


def test_another_granularity_is_a_codebook_of_the_same_tree(lake):
    lake.night(ClusterSettings())
    report = lake.night(ClusterSettings(granularity=1.2))
    assert (report.version, report.reason) == (2, "granularity")
    assert report.classes < lake.kinds
    for name in ("cells.parquet", "transform.npz"):
        first, second = (lake.storage.get(lake.codebook_key(v, name)) for v in (1, 2))
        assert first == second
    old, new = (load_codebook(lake, v).hierarchy.tree for v in (1, 2))
    assert (old.parent == new.parent).all()
    assert (old.height == new.height).all()
    assert lake.night(ClusterSettings(granularity=1.2)).reason == ""
    assert lake.night(ClusterSettings()).reason == "granularity"
    fine, again = lake.classes(1), lake.classes(3)
    pairs = {(fine[m], again[m]) for m in fine}
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)


@pytest.mark.parametrize(
    "fit", [Linkage(), DEFAULT_FIT, HDBSCAN(), KMeans(classes=3)], ids=lambda fit: fit.kind
)
def test_the_cell_of_a_mask_is_one_of_its_class(lake, fit):
    lake.night(ClusterSettings(fit=fit))
    lake.add_shard("d")
    lake.night(ClusterSettings(fit=fit))
    class_of = load_codebook(lake).node_classes
    for shard in "abcd":
        part = lake.read(lake.assignments_key(1, shard)).to_pylist()
        assert all((r["cell"] is None) == (r["class_id"] == -1) for r in part)
        known = [r for r in part if r["cell"] is not None]
        assert known
        assert all(class_of[r["cell"]] == r["class_id"] for r in known)


def test_codebooks_of_earlier_versions_without_a_tree_go_on(lake, monkeypatch):
    def as_before(*args):
        return replace(build(*args), hierarchy=None)

    monkeypatch.setattr("samseg.stages.cluster.fitting.build", as_before)
    lake.night()
    lake.add_shard("d")
    assert not lake.night().refitted
    for shard in "ad":
        assert "cell" not in lake.read(lake.assignments_key(1, shard)).column_names


# ---------------------------------------------------------------------- edge cases


@pytest.mark.parametrize("images", [0, 1])
def test_too_few_masks_for_a_class_are_not_an_error(empty_lake, images):
    empty_lake.add_shard("a", images=images)
    report = empty_lake.night()
    assert (report.classes, report.assigned, report.masks) == (0, 0, images * 7)
    for shard in "bcd":
        empty_lake.add_shard(shard)
    report = empty_lake.night()
    assert (report.version, report.reason, report.classes) == (2, "growth", empty_lake.kinds)


def test_an_empty_folder_is_not_an_error(empty_lake):
    assert empty_lake.night().masks == 0
    empty_lake.add_shard("a")
    assert empty_lake.night().reason == "growth"


def test_nonfinite_and_zero_embeddings_are_noise_and_counted_as_invalid(lake):
    bad = np.full((2, 256), np.nan, np.float32)
    bad[1] = 0
    lake.add_shard("d", images=1, embeddings=bad)
    report = lake.night()
    assert report.invalid == 18 + 3
    assert "21 masks without a usable embedding" in str(report)
    part = lake.read(lake.assignments_key(1, "d"))
    assert part["class_id"].to_pylist() == [-1, -1, -1]
    assert part["distance"].null_count == 3
    assert load_codebook(lake).notes["invalid"] == 2


def test_a_codebook_of_another_recipe_is_refused(lake):
    lake.night()
    with pytest.raises(CodebookError, match="recipe recipe, but the config has recipe other"):
        cluster(lake, ClusterSettings(), recipe_fingerprint="other")


def test_an_embedding_that_the_folder_does_not_have_is_refused(lake):
    with pytest.raises(CodebookError, match=r"no embedding 'dino' \(it has: sam\)"):
        lake.night(ClusterSettings(embedding="dino"))


def test_a_codebook_is_not_used_for_another_embedding(lake):
    lake.night()
    codebook = load_codebook(lake)
    other = Embeddings(lake, "dino", "recipe")
    with pytest.raises(CodebookError, match="fitted to the embedding 'sam', these are 'dino'"):
        assign(codebook, other, ["a"], Local(), lambda done: None)
