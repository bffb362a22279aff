import numpy as np
import pytest

from samseg.clustering.cells import Cells, canonical_order, grouped_sum, partition
from samseg.clustering.transform import unit


def points(n: int = 400, d: int = 12, seed: int = 0) -> np.ndarray:
    g = np.random.default_rng(seed)
    centers = g.standard_normal((10, d))
    return unit(centers[g.integers(0, 10, n)] + 0.3 * g.standard_normal((n, d)))[0]


def cells_of(rows: np.ndarray, count: int) -> np.ndarray:
    order = canonical_order(rows, np.arange(len(rows)))
    cell = np.empty(len(rows), np.int64)
    cell[order] = partition(rows, order, count)
    return cell


def test_few_points_have_a_cell_each():
    assert sorted(cells_of(points(30), 30).tolist()) == list(range(30))


def test_cells_gather_similar_points_whatever_the_order_of_rows():
    rows = points()
    cell = cells_of(rows, 40)
    assert len(set(cell.tolist())) > 25
    found = Cells.of(rows, np.arange(400), cell, np.ones(400))
    own = np.einsum("ij,ij->i", rows, found.means[found.of_point])
    assert own.mean() > 0.9
    order = np.random.default_rng(1).permutation(400)
    assert (cells_of(rows[order], 40) == cell[order]).all()


def test_means_count_members_by_weight_and_empty_cells_are_left_out():
    rows = points(6)
    cell, weights = np.array([7, 7, 2, 7]), np.array([1.0, 2.0, 5.0, 1.0])
    found = Cells.of(rows, np.array([0, 1, 2, 5]), cell, weights)
    assert found.of_point.tolist() == [1, 1, 0, -1, -1, 1]
    assert found.weights.tolist() == [5, 4]
    mean = (rows[0] + 2 * rows[1] + rows[5]).astype(float) / 4
    assert found.means[1] == pytest.approx(mean, abs=1e-6)


def test_sums_are_those_of_all_blocks(monkeypatch):
    monkeypatch.setattr("samseg.clustering.cells._BLOCK", 64)
    rows, group = points(), np.arange(400) % 3
    found = grouped_sum(rows, np.arange(400), group, np.ones(400), 4)
    want = [rows[group == k].sum(axis=0, dtype=float) for k in range(4)]
    assert found == pytest.approx(np.array(want))
