"""Refits: when they happen, and which classes keep their id."""

import pytest

from samseg.clustering import DBSCAN, KMeans, Linkage
from samseg.clustering.settings import ClusterSettings
from samseg.stages.cluster.codebook_store import load_codebook

DEFAULT_FIT = DBSCAN(eps=0.2, min_samples=4)
"""The default of `lake.night()`."""
BOTH = pytest.mark.parametrize(
    "settings", [ClusterSettings(fit=DEFAULT_FIT), ClusterSettings()], ids=["dbscan", "linkage"]
)


def test_a_lake_that_has_doubled_is_refitted_and_ids_persist(lake):
    lake.night()
    before = lake.classes(1)
    for shard in "def":
        lake.add_shard(shard, kinds=(*range(lake.kinds), lake.kinds))
    report = lake.night()
    assert (report.version, report.refitted, report.reason) == (2, True, "growth")
    assert (report.born, report.retired, report.classes) == (1, 0, lake.kinds + 1)
    assert (report.masks, report.new_masks) == (126 + 144, 144)
    after = lake.classes(2)
    assert len(after) == 126 + 144
    assert all(after[m] == c for m, c in before.items() if c >= 0)
    rows = lake.read(lake.codebook_key(2, "classes.parquet")).to_pylist()
    assert [r["born_in"] for r in rows] == [1] * lake.kinds + [2]
    assert [r["name"] for r in rows] == [f"class {i}" for i in range(lake.kinds + 1)]


@pytest.mark.parametrize(
    ("settings", "options", "reason"),
    [
        (ClusterSettings(fit=DEFAULT_FIT), {"refit": True}, "asked"),
        (ClusterSettings(fit=DEFAULT_FIT, refit_growth=50.0), {}, ""),
        (ClusterSettings(fit=DBSCAN(eps=0.21, min_samples=4)), {}, "settings"),
        (ClusterSettings(fit=KMeans(classes=5)), {}, "settings"),
        (ClusterSettings(fit=Linkage()), {}, "settings"),
    ],
)
def test_reasons_for_a_refit(lake, settings, options, reason):
    lake.night()
    report = lake.night(settings, **options)
    assert (report.reason, report.refitted) == (reason, bool(reason))
    assert report.version == (2 if reason else 1)


def test_a_refit_of_the_same_lake_keeps_every_class(lake):
    lake.night()
    report = lake.night(refit=True)
    assert (report.born, report.retired) == (0, 0)
    assert report.new_masks == 0
    assert lake.classes(2) == lake.classes(1)


def test_other_settings_are_fitted_without_regard_to_the_classes_so_far(tmp_path, lake):
    fresh = lake.copied_to(tmp_path / "fresh")
    lake.night(ClusterSettings(fit=KMeans(classes=2)))
    lake.night(ClusterSettings())
    fresh.night(ClusterSettings())
    found, want = lake.classes(2), fresh.classes(1)
    pairs = {(found[m], want[m]) for m in want}
    assert len(pairs) == len({b for _, b in pairs}) == lake.kinds + 1


def test_ids_are_never_reused(lake):
    lake.night()
    strict = ClusterSettings(fit=DEFAULT_FIT, reference=1)
    report = lake.night(strict)
    assert (report.classes, report.retired) == (0, lake.kinds)
    assert report.retired_ids == tuple(range(lake.kinds))
    report = lake.night(ClusterSettings(fit=DEFAULT_FIT, reference=500))
    assert (report.version, report.born) == (3, lake.kinds)
    rows = lake.read(lake.codebook_key(3, "classes.parquet")).to_pylist()
    assert [r["class_id"] for r in rows] == list(range(2 * lake.kinds))
    assert [r["status"] for r in rows] == ["retired"] * lake.kinds + ["active"] * lake.kinds
    assert set(lake.classes(3).values()) == {-1, *range(lake.kinds, 2 * lake.kinds)}


def test_merged_classes_name_their_parents(lake):
    lake.night()
    lake.night(ClusterSettings(fit=KMeans(classes=2)))
    rows = lake.read(lake.codebook_key(2, "classes.parquet")).to_pylist()
    active = [r for r in rows if r["status"] == "active"]
    named = {p for r in active for p in r["parents"]} | {r["class_id"] for r in active}
    assert named >= set(range(lake.kinds))


def test_classes_that_split_and_end_are_reported(lake):
    lake.night(ClusterSettings(fit=KMeans(classes=2)))
    report = lake.night(ClusterSettings(fit=KMeans(classes=5)))
    ids = {c.class_id for c in load_codebook(lake).active}
    assert report.split
    assert all(old < 2 and len(new) > 1 and ids >= set(new) for old, new in report.split.items())
    assert not lake.night().split


def test_growth_is_counted_in_masks_with_an_embedding(lake):
    """Masks without one weigh as much in bytes."""
    lake.night()
    lake.add_shard("d", images=40, kinds=(), noise=0)
    assert lake.night().reason == ""


def test_a_lake_without_classes_is_fitted_as_soon_as_there_are_more_masks(lake):
    strict = ClusterSettings(fit=DBSCAN(eps=0.2, min_samples=20))
    assert lake.night(strict).classes == 0
    assert lake.night(strict).reason == ""
    lake.add_shard("d", images=2)
    report = lake.night(strict)
    assert (report.reason, report.classes) == ("no classes", lake.kinds)


# ---------------------------------------------------------------------- granularity
