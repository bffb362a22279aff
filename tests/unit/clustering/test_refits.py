"""What holds for any sequence of refits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samseg.clustering import DBSCAN, HDBSCAN, KMeans, Linkage
from samseg.clustering.build import build
from samseg.clustering.codebook import Codebook
from samseg.clustering.found import find
from samseg.clustering.levels import fitted
from samseg.clustering.sample import FitSample
from samseg.clustering.settings import ClusterSettings

FITS = [
    Linkage(),
    Linkage(threshold=0.5, min_size=3),
    DBSCAN(eps=0.3, min_samples=3),
    HDBSCAN(),
    KMeans(classes=3),
    KMeans(classes=7),
]


def masks(seed: int, n: int) -> np.ndarray:
    g = np.random.default_rng(seed)
    centers = np.random.default_rng(0).standard_normal((8, 12))[: 3 + seed % 6]
    rows = centers[g.integers(0, len(centers), n)] + 0.4 * g.standard_normal((n, 12))
    return (rows * g.uniform(0.1, 9, (n, 1)) + 0.3).astype(np.float32)


def refit(rows: np.ndarray, fit, parent: Codebook | None) -> Codebook:
    ids = [f"image{i // 5}-{i:04d}" for i in range(len(rows))]
    before = np.full(len(rows), -1) if parent is None else parent.assign(rows).class_ids
    sample = FitSample(ids, ids, rows, before.astype(np.int32))
    chosen = ClusterSettings(fit=fit)
    version = parent.version + 1 if parent else 1
    return build(fitted(find(sample, chosen, len(rows))), chosen, parent, version, "recipe", {})


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 90), st.sampled_from(FITS)),
        min_size=2,
        max_size=5,
    )
)
@settings(max_examples=40, deadline=None)
def test_ids_change_through_lineage_only_and_never_come_back(steps):
    parent = None
    for seed, n, fit in steps:
        found = refit(masks(seed, n), fit, parent)
        ids = [c.class_id for c in found.classes]
        assert ids == sorted(set(ids))
        if parent is not None:
            status = {c.class_id: c.status for c in parent.classes}
            assert set(status) <= set(ids)
            for c in found.classes:
                assert c.class_id in status or c.class_id >= parent.next_id
                assert status.get(c.class_id) != "retired" or c.status == "retired"
                assert (c.born_in == found.version) == (c.class_id not in status)
                assert set(c.parents) <= set(status) - {c.class_id}
            ended = {i for i, s in status.items() if s == "active"} - {
                c.class_id for c in found.active
            }
            assert set(found.notes["retired"]) == ended
        parent = found


@pytest.mark.parametrize("fit", FITS, ids=str)
def test_rows_are_assigned_one_by_one_as_all_at_once(fit):
    rows = masks(4, 80)
    found = refit(rows, fit, None)
    whole = found.assign(rows)
    parts = [found.assign(rows[i : i + 1]) for i in range(len(rows))]
    for name in ("class_ids", "distances", "margins", "cells"):
        if getattr(whole, name) is not None:
            single = np.concatenate([getattr(part, name) for part in parts])
            assert np.array_equal(single, getattr(whole, name), equal_nan=True)
    inside = whole.class_ids != -1
    radius = {c.class_id: c.radius for c in found.active}
    near = [d <= radius[i] for d, i in zip(whole.distances, whole.class_ids, strict=True) if i >= 0]
    assert all(near) and inside.any()
    assert found.notes["noise"] == (~inside).sum()
