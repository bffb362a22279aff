"""Properties of every clustering strategy."""

import subprocess
import sys

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from sklearn.metrics import adjusted_rand_score

from samseg.clustering import DBSCAN, HDBSCAN, Clustering, KMeans, Linkage

STRATEGIES = [
    Linkage(),
    Linkage(threshold=0.6, min_size=3),
    HDBSCAN(),
    DBSCAN(),
    DBSCAN(eps=0.15, min_samples=4),
    KMeans(classes=4),
    KMeans(classes=1),
]


def clusters(seed: int = 0):
    """Return four clusters of 20 points and 15 noise points, spread over 12 images."""
    g = np.random.default_rng(seed)
    truth = np.concatenate([np.repeat(np.arange(4), 20), np.full(15, -1)])
    points = g.standard_normal((len(truth), 40))
    points[truth >= 0] = (4 * g.standard_normal((4, 40))[truth] + points)[truth >= 0]
    return points.astype(np.float32), truth, [f"image{i % 12}" for i in range(len(truth))]


@pytest.fixture(params=STRATEGIES, ids=str)
def strategy(request):
    return request.param


def test_the_union_is_covered():
    kinds = {spec.kind for spec in STRATEGIES}
    adapter = TypeAdapter(Clustering)
    assert {adapter.validate_python(spec.model_dump()).kind for spec in STRATEGIES} == kinds
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python({"kind": "none such"})
    assert all(kind in str(caught.value) for kind in kinds)


def test_labels_and_core_points_are_consistent(strategy):
    points, _, keys = clusters()
    fit = strategy.fit(points, keys)
    assert fit.labels.shape == fit.core.shape == (len(points),)
    assert fit.labels.dtype == np.int64
    assert fit.core.dtype == np.bool_
    assert set(range(fit.classes)) <= set(fit.labels.tolist()) <= {-1, *range(fit.classes)}
    assert (fit.labels[fit.core] >= 0).all()
    assert all((fit.labels[fit.core] == k).any() for k in range(fit.classes))
    assert fit.eps is None or 0 < fit.eps <= 2
    assert fit.centers is None or len(fit.centers) == fit.classes


def test_finds_the_true_classes(strategy):
    points, truth, keys = clusters()
    fit = strategy.fit(points, keys)
    inside = truth >= 0
    wanted = 1.0 if getattr(strategy, "classes", 4) == 4 else 0.0
    assert adjusted_rand_score(truth[inside], fit.labels[inside]) >= wanted - 0.05


def test_is_deterministic(strategy):
    points, _, keys = clusters()
    first, second = strategy.fit(points, keys), strategy.fit(points, keys)
    assert (first.labels == second.labels).all()
    assert first.eps == second.eps
    assert first.curve == second.curve


def test_neither_order_nor_length_of_rows_matters(strategy):
    points, _, keys = clusters()
    g = np.random.default_rng(1)
    order = g.permutation(len(points))
    lengths = 2.0 ** g.integers(-9, 9, len(points)).astype(np.float32)
    fit = strategy.fit(points, keys)
    moved = strategy.fit((points * lengths[:, None])[order], [keys[i] for i in order])
    assert moved.eps == fit.eps
    assert adjusted_rand_score(fit.labels[order], moved.labels) == 1.0
    assert (moved.core == fit.core[order]).all()


def test_rows_without_direction_are_noise_and_counted(strategy):
    points, _, keys = clusters()
    bad = np.stack([np.zeros(40), np.full(40, np.nan), np.full(40, np.inf)]).astype(np.float32)
    fit = strategy.fit(points, keys)
    mixed = strategy.fit(np.concatenate([bad, points]), ["x", "y", "z", *keys])
    assert mixed.invalid == 3
    assert mixed.labels[:3].tolist() == [-1, -1, -1]
    assert not mixed.core[:3].any()
    assert (mixed.labels[3:] == fit.labels).all()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_very_few_points(strategy, n):
    fit = strategy.fit(np.eye(2, 40, dtype=np.float32)[:n], ["a", "b"][:n])
    assert len(fit.labels) == n
    assert fit.classes <= n


def test_equal_points_are_in_one_class(strategy):
    fit = strategy.fit(np.ones((30, 40), np.float32), ["a", "b"] * 15)
    assert fit.labels.tolist() == [0] * 30


def test_importing_the_strategies_loads_no_heavy_package():
    code = (
        "import sys, samseg.clustering.settings; "
        "print(sorted({'torch', 'ray', 'sklearn', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
