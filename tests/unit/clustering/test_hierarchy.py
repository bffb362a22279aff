import numpy as np

from samseg.clustering.hierarchy import ABOVE, Hierarchy
from samseg.clustering.transform import unit
from samseg.clustering.tree import average_linkage


def hierarchy(cut: float = 0.5) -> Hierarchy:
    """Two pairs of cells, and one on its own."""
    degrees = np.array([0, 20, 90, 110, 200])
    angles = np.radians(degrees)
    vectors = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))[0]
    return Hierarchy(
        average_linkage(1 - vectors.astype(float) @ vectors.T.astype(float), np.ones(5)),
        vectors,
        np.ones(5),
        cut,
    )


def test_nodes_belong_to_the_class_below_the_cut_and_to_none_above():
    found = hierarchy()
    first, second = found.tree.parent[[0, 2]]
    ids = found.class_ids({int(first): 7, int(second): 3})
    assert ids[:5].tolist() == [7, 7, 3, 3, -1]
    assert (ids[first], ids[second]) == (7, 3)
    assert set(ids[7:].tolist()) == {ABOVE}


def test_the_nearest_cell_is_one_of_the_class():
    found = hierarchy()
    points = unit(np.array([[1.0, 0.1], [1.0, 0.1], [0.5, 0.4], [1.0, 0.1]]))[0]
    of_cells = np.array([7, 7, 3, 3, -1], np.int32)
    cells = found.nearest_cells(points, np.array([7, 3, 7, -1], np.int32), of_cells)
    assert cells.tolist() == [0, 2, 1, -1]
