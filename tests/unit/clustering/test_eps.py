import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from samseg.clustering import eps as radius
from samseg.clustering.dbscan import dbscan
from samseg.clustering.transform import unit


def vectors(seed: int = 0, n: int = 150) -> np.ndarray:
    g = np.random.default_rng(seed)
    centers = g.standard_normal((5, 20))
    return unit(centers[g.integers(0, 5, n)] + 0.5 * g.standard_normal((n, 20)))[0]


@pytest.mark.parametrize("dense", [0, 1 << 20])
def test_a_cut_of_the_tree_equals_dbscan_at_that_radius(monkeypatch, dense):
    monkeypatch.setattr(radius, "_DENSE", dense)
    points = vectors()
    tree = radius._SpanningTree.of(points, 4)
    for eps in (0.03, 0.08, 0.15, 0.4):
        labels, core = dbscan(points, eps, 4)
        cut = tree.cut(eps)
        assert ((cut >= 0) == core).all()
        assert not core.any() or adjusted_rand_score(cut[core], labels[core]) == 1.0


def test_a_sweep_labels_by_the_nearest_core_point_within_the_radius():
    points = vectors()
    half = points[::2]
    tree = radius._SpanningTree.of(half, 3)
    sweep = radius._Sweep(points, half, tree)
    for eps in (0.05, 0.1, 0.2):
        cut = tree.cut(eps)
        core = np.flatnonzero(cut >= 0)
        distance = 1 - points @ half[core].T if len(core) else np.full((len(points), 1), 9.0)
        near = distance.min(axis=1) <= eps
        want = np.where(near, cut[core][distance.argmin(axis=1)] if len(core) else -1, -1)
        assert (sweep.labels_at(eps) == want).all()


def test_rows_of_one_key_stay_in_one_half():
    keys = [f"image{i % 11}" for i in range(200)]
    half = radius.halves(200, keys)
    by_key = {k: {bool(half[i]) for i in range(200) if keys[i] == k} for k in set(keys)}
    assert all(len(sides) == 1 for sides in by_key.values())
    assert 80 <= half.sum() <= 120
    order = np.random.default_rng(0).permutation(200)
    assert (radius.halves(200, [keys[i] for i in order]) == half[order]).all()


@pytest.mark.parametrize("keys", [None, ["one"] * 9, ["big"] * 8 + ["small"]])
def test_rows_alternate_where_keys_cannot_split_them(keys):
    assert radius.halves(9, keys).sum() == 4


def test_all_noise_or_a_single_class_scores_zero():
    none, one = np.full(40, -1), np.zeros(40, np.int64)
    two = np.arange(40) % 2
    assert radius._agreement(none, none)["information"] == 0
    assert radius._agreement(one, one)["information"] == 0
    assert radius._agreement(two, two)["information"] == pytest.approx(np.log(2), abs=0.02)
    assert radius._agreement(two, two)["stability"] == 1


def test_score_grows_with_reproduced_classes():
    few, many = np.repeat([0, 1], 60), np.repeat([0, 1, 2, 3], 30)
    partly = np.where(np.arange(120) % 3 == 0, -1, many)
    chance = np.random.default_rng(0).integers(0, 4, 120)
    score = {
        name: radius._agreement(a, b)["information"]
        for name, a, b in [
            ("few", few, few),
            ("many", many, many),
            ("unstable", many, np.where(np.arange(120) % 2, chance, many)),
            ("chance", many, chance),
        ]
    }
    assert score["many"] > score["few"] > score["unstable"] > score["chance"]
    assert radius._agreement(partly, partly)["coverage"] == pytest.approx(2 / 3)


def test_the_score_does_not_depend_on_class_numbers():
    a = np.repeat([0, 1, 2], 20)
    assert radius._agreement(a, a) == radius._agreement(a, (a + 1) % 3)
