import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samseg.clustering import DBSCAN, KMeans
from samseg.clustering.nearest import nearest
from samseg.clustering.prototypes import prototypes_of
from samseg.clustering.transform import unit


def fitted(seed: int, eps: float, min_samples: int = 5, n: int = 160, spread: float = 0.35):
    g = np.random.default_rng(seed)
    centers = g.standard_normal((4, 5))
    points = unit(centers[g.integers(0, 4, n)] + spread * g.standard_normal((n, 5)))[0]
    ids = [f"m{i:04d}" for i in g.permutation(n)]
    return points, ids, DBSCAN(eps=eps, min_samples=min_samples).fit(points)


@given(seed=st.integers(0, 500), eps=st.sampled_from([0.01, 0.02, 0.04, 0.08]))
@settings(max_examples=40, deadline=None)
def test_assigning_the_masks_of_the_fit_reproduces_their_classes(seed, eps):
    points, ids, fit = fitted(seed, eps)
    prototypes = prototypes_of(fit, points, ids)
    found = nearest(points, prototypes.vectors, prototypes.class_ids)
    inside = found.distance <= fit.eps
    assigned = np.full(len(points), -1)
    assigned[inside] = prototypes.class_ids[found.index[inside]]
    assert (assigned == fit.labels).all()
    assert found.distance[fit.core] == pytest.approx(0, abs=eps / 2 + 1e-9)


def test_prototypes_are_a_subset_of_the_core_points():
    points, ids, fit = fitted(1, 0.04, spread=0.15)
    prototypes = prototypes_of(fit, points, ids)
    rows = [ids.index(mask_id) for mask_id in prototypes.mask_ids]
    assert fit.core[rows].all()
    assert (fit.labels[rows] == prototypes.class_ids).all()
    assert (points[rows] == prototypes.vectors).all()
    assert fit.classes <= len(prototypes) < fit.core.sum() / 2


def test_the_order_of_rows_does_not_matter():
    points, ids, fit = fitted(2, 0.04)
    order = np.random.default_rng(0).permutation(len(points))
    moved = DBSCAN(eps=0.04, min_samples=5).fit(points[order])
    same = prototypes_of(fit, points, ids)
    other = prototypes_of(moved, points[order], [ids[i] for i in order])
    assert set(same.mask_ids) == set(other.mask_ids)


def test_centres_are_their_own_prototypes():
    points, ids, _ = fitted(3, 0.04)
    fit = KMeans(classes=3).fit(points)
    prototypes = prototypes_of(fit, points, ids)
    assert prototypes.mask_ids == (None, None, None)
    assert prototypes.class_ids.tolist() == [0, 1, 2]


def test_no_class_has_no_prototype():
    points, ids, fit = fitted(4, 1e-6)
    assert fit.classes == 0
    assert len(prototypes_of(fit, points, ids)) == 0
