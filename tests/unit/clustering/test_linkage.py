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


def groups(cosine: float, each: int = 20) -> np.ndarray:
    """Two tight groups whose directions have a given cosine."""
    second = np.array([cosine, np.sqrt(1 - cosine**2)])
    directions = np.repeat([[1.0, 0.0], second], each, axis=0)
    noise = 0.01 * np.random.default_rng(0).standard_normal((2 * each, 2))
    return unit(directions + noise)[0]


@pytest.mark.parametrize(
    ("distance", "earlier", "classes"),
    [
        (0.83, (-1, -1), 2),
        (0.83, (4, 4), 1),  # one class stays one
        (1.0, (4, 4), 2),  # unless the masks are clearly apart
        (0.77, (-1, -1), 1),
        (0.77, (4, 9), 2),  # two classes stay two
        (0.65, (4, 9), 1),  # unless they are clearly one
        (0.77, (4, -1), 1),  # masks without a class join as in a first fit
        (0.83, (4, -1), 2),
    ],
)
def test_a_refit_changes_a_class_only_where_the_masks_are_clear(distance, earlier, classes):
    fit = Linkage().fit(groups(1 - distance), earlier=np.repeat(earlier, 20))
    assert fit.classes == classes


def test_a_cell_holds_masks_of_one_earlier_class(monkeypatch):
    monkeypatch.setattr(linkage, "CELLS", 50)
    points, _ = world()
    earlier = np.random.default_rng(0).integers(-1, 3, len(points))
    cell = Linkage().fit(points, earlier=earlier).cells.of_point
    assert all(len(set(earlier[cell == c])) == 1 for c in set(cell))


def test_scattered_earlier_classes_do_not_multiply_the_cells(monkeypatch):
    """Else the tree, which is quadratic in them, could take all memory."""
    monkeypatch.setattr(linkage, "CELLS", 20)
    monkeypatch.setattr(linkage, "MOST_CELLS", 30)
    g = np.random.default_rng(3)
    points = g.standard_normal((2000, 8)).astype(np.float32)
    earlier = g.integers(0, 200, len(points))
    fit = Linkage().fit(points, earlier=earlier)
    assert 10 <= len(fit.cells) <= 30
    assert (fit.cells.of_point >= 0).all()
    assert fit.cells.weights.sum() == len(points)
    order = g.permutation(len(points))
    again = Linkage().fit(points[order], earlier=earlier[order])
    assert (again.cells.of_point == fit.cells.of_point[order]).all()
