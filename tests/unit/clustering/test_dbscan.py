import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.cluster import DBSCAN as Oracle
from sklearn.metrics import adjusted_rand_score

from samseg.clustering import DBSCAN, dbscan
from samseg.clustering.transform import unit


def cloud(seed: int, n: int = 120, d: int = 6) -> np.ndarray:
    """Return tight clusters of directions among scattered ones, with duplicates."""
    g = np.random.default_rng(seed)
    centers = g.standard_normal((4, d))
    tight = centers[g.integers(0, 4, n)] + 0.15 * g.standard_normal((n, d))
    points = np.concatenate([tight, g.standard_normal((n // 2, d)), tight[:7]])
    return points[g.permutation(len(points))].astype(np.float32)


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(((a < 0) == (b < 0)).all()) and adjusted_rand_score(a, b) == 1.0


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("eps", "min_samples"), [(0.01, 3), (0.04, 8), (0.1, 5), (0.3, 1)])
def test_core_points_classes_and_noise_equal_scikit_learns(seed, eps, min_samples):
    points = unit(cloud(seed))[0]
    oracle = Oracle(eps=eps, min_samples=min_samples, metric="cosine")
    oracle.fit(points.astype(np.float64))
    fit = DBSCAN(eps=eps, min_samples=min_samples).fit(points)
    assert set(np.flatnonzero(fit.core)) == set(oracle.core_sample_indices_)
    assert same_partition(fit.labels[fit.core], oracle.labels_[fit.core])
    assert ((fit.labels < 0) == (oracle.labels_ < 0)).all()


@given(
    points=hnp.arrays(np.float32, (25, 3), elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0])),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_the_order_of_rows_and_their_lengths_do_not_matter(points, seed):
    g = np.random.default_rng(seed)
    order = g.permutation(len(points))
    lengths = (2.0 ** g.integers(-20, 20, len(points))).astype(np.float32)
    spec = DBSCAN(eps=0.1234, min_samples=3)
    fit, moved = spec.fit(points), spec.fit((points * lengths[:, None])[order])
    assert (moved.core == fit.core[order]).all()
    core = fit.core[order]
    assert same_partition(moved.labels[core], fit.labels[order][core])
    assert ((moved.labels < 0) == (fit.labels[order] < 0)).all()
    assert fit.invalid == (~points.any(axis=1)).sum()


def test_a_border_point_takes_the_class_of_its_nearest_core_point():
    angles = np.array([0.00, 0.01, 0.02, 0.03, 0.215, 0.41, 0.42, 0.43, 0.44])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    for rows in (np.arange(9), np.arange(9)[::-1]):
        fit = DBSCAN(eps=1 - np.cos(0.2), min_samples=5).fit(points[rows])
        labels = fit.labels[np.argsort(rows)]
        assert np.flatnonzero(fit.core[np.argsort(rows)]).tolist() == [2, 3, 5]
        assert labels[4] == labels[3] != labels[5]


@pytest.mark.parametrize("tile", [1, 997, 1 << 20])
def test_labels_do_not_depend_on_the_tile(monkeypatch, tile):
    points = cloud(3)
    want = DBSCAN(eps=0.05, min_samples=5).fit(points)
    monkeypatch.setattr(dbscan, "_TILE", tile)
    got = DBSCAN(eps=0.05, min_samples=5).fit(points)
    assert (got.labels == want.labels).all()
    assert (got.core == want.core).all()


def recurring(classes: int, each: int, noise: int, seed: int = 0, d: int = 256) -> tuple:
    g = np.random.default_rng(seed)
    truth = np.concatenate([np.repeat(np.arange(classes), each), np.full(noise, -1)])
    basis = g.standard_normal((30, d))  # embeddings span a few dozen dimensions
    points = g.standard_normal((len(truth), 30)) @ basis
    centers = g.standard_normal((classes, 30)) @ basis
    points[truth >= 0] = (centers[truth] + 0.3 * points)[truth >= 0]
    order = g.permutation(len(truth))
    return points[order].astype(np.float32), truth[order]


@pytest.mark.parametrize(
    ("classes", "each", "noise"), [(1, 8, 60), (5, 8, 60), (12, 8, 150), (10, 18, 120), (3, 40, 0)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_auto_finds_recurring_objects_in_a_small_lake(classes, each, noise, seed):
    points, truth = recurring(classes, each, noise, seed)
    fit = DBSCAN().fit(points)
    assert adjusted_rand_score(truth, fit.labels) > 0.9
    assert fit.classes == classes
    assert fit.curve[0].keys() >= {"eps", "classes", "stability", "coverage", "information"}
    assert fit.eps in [row["eps"] for row in fit.curve]


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_auto_finds_no_class_in_too_few_masks(n):
    fit = DBSCAN().fit(np.eye(8, dtype=np.float32)[:n])
    assert fit.classes == 0
    assert (fit.labels == -1).all()
