import numpy as np
import pytest
from sklearn import cluster
from sklearn.metrics import adjusted_rand_score

from samseg.clustering import HDBSCAN, hdbscan
from samseg.clustering.transform import unit


def points(n: int = 150, d: int = 20) -> np.ndarray:
    g = np.random.default_rng(0)
    tight = g.standard_normal((5, d))[g.integers(0, 5, n)] + 0.4 * g.standard_normal((n, d))
    return np.concatenate([tight, g.standard_normal((30, d))]).astype(np.float32)


@pytest.mark.parametrize("in_memory", [0, 10_000])
def test_it_is_that_of_scikit_learn_on_directions(monkeypatch, in_memory):
    monkeypatch.setattr(hdbscan, "_IN_MEMORY", in_memory)
    rows = unit(points())[0].astype(float)
    want = cluster.HDBSCAN(min_cluster_size=8, min_samples=3, algorithm="brute", copy=True)
    fit = HDBSCAN(min_cluster_size=8, min_samples=3).fit(7 * points())
    assert fit.classes >= 4
    assert adjusted_rand_score(want.fit(rows).labels_, fit.labels) == 1.0
