import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from samseg.clustering import Linkage, linkage
from samseg.clustering.transform import unit


def world(seed: int = 0, classes: int = 6, each: int = 60, d: int = 30) -> tuple:
    g = np.random.default_rng(seed)
    truth = np.repeat(np.arange(classes), each)
    points = 3 * g.standard_normal((classes, d))[truth] + g.standard_normal((len(truth), d))
    return unit(points)[0], truth


def test_classes_over_cells_are_those_over_all_points(monkeypatch):
    points, truth = world()
    exact = Linkage(threshold=0.6).fit(points)
    monkeypatch.setattr(linkage, "CELLS", 50)
    coarse = Linkage(threshold=0.6).fit(points)
    assert len(exact.cells) == len(points) > len(coarse.cells) > 30
    assert adjusted_rand_score(exact.labels, truth) == 1.0
    assert adjusted_rand_score(coarse.labels, truth) == 1.0


def test_with_cells_the_order_of_rows_does_not_matter(monkeypatch):
    monkeypatch.setattr(linkage, "CELLS", 50)
    points, _ = world()
    order = np.random.default_rng(0).permutation(len(points))
    fit, moved = Linkage(threshold=0.4).fit(points), Linkage(threshold=0.4).fit(points[order])
    assert (moved.labels == fit.labels[order]).all()
    assert (moved.tree.height == fit.tree.height).all()


@pytest.mark.parametrize("min_size", [2, 5, 60, 61])
def test_smaller_groups_are_noise(min_size):
    points, _ = world(each=60)
    lonely = unit(np.random.default_rng(5).standard_normal((3, 30)))[0]
    fit = Linkage(threshold=0.5, min_size=min_size).fit(np.concatenate([points, lonely]))
    assert fit.classes == (6 if min_size <= 60 else 0)
    assert (fit.labels[-3:] == -1).all()


def test_a_class_is_the_node_of_its_points():
    points, _ = world()
    fit = Linkage(threshold=0.5).fit(points)
    top = fit.tree.cut(0.5)
    for label, node in enumerate(fit.nodes):
        assert set(top[fit.cells.of_point[fit.labels == label]]) == {node}
        assert fit.tree.height[node] <= 0.5
