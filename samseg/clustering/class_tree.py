"""A tree over classes that were found without one.

`linkage` finds classes by cutting a tree. Other strategies return labels alone. Here the points of
each of their classes are divided into cells; average linkage joins the cells within each class, and
then the classes. So every codebook has a tree to split classes along and to query coarser ones.
"""

import math

import numpy as np
from numpy.typing import NDArray

from samseg.clustering.cells import Cells, canonical_order, partition
from samseg.clustering.hierarchy import Hierarchy
from samseg.clustering.linkage import CELLS
from samseg.clustering.transform import unit
from samseg.clustering.tree import Tree, average_linkage
from samseg.types import NOISE, Float32, Int64

_LEAST = 4
"""Minimum number of cells of a class, if it has that many points."""


def class_tree(points: Float32, labels: Int64) -> tuple[Hierarchy, Int64]:
    """Build a tree that has every class as a branch.

    Joins of one class have their mean cosine distance as height. The cut is the highest of these.
    Joins of classes have theirs, too, where it is above the cut; others lie just above it.

    Args:
        points: (n, d) float32 unit rows.
        labels: (n,) int64, the class of each, 0 to k - 1 without gaps, -1 for noise, which has no
            cell.

    Returns:
        The tree, and (k,) int64, the node that each class is.
    """
    cells, of_cell = _cells(points, labels)
    count = len(cells)
    nodes = max(2 * count - 1, 0)
    parent, height = np.full(nodes, -1, np.int64), np.zeros(nodes)
    roots, free = [], count
    for label in range(int(labels.max(initial=NOISE)) + 1):
        leaves = np.flatnonzero(of_cell == label)
        tree = _joined(Cells(cells.of_point, cells.means[leaves], cells.weights[leaves]))
        own = np.concatenate([leaves, free + np.arange(len(leaves) - 1)])
        _place(tree, own, parent, height)
        free += len(leaves) - 1
        roots.append(int(own[-1]))
    top = np.array(roots, np.int64)
    cut = float(height.max(initial=0.0))
    if len(top):
        tree = _joined(_united(cells, of_cell, len(top)))
        above = float(np.nextafter(np.float32(cut), np.float32(np.inf)))
        inner = np.maximum(tree.height[len(top) :], above)
        raised = Tree(tree.parent, np.concatenate([height[top], inner]))
        own = np.concatenate([top, free + np.arange(len(top) - 1)])
        _place(raised, own, parent, height)
    sizes = np.bincount(cells.of_point + 1, minlength=count + 1)[1:]
    return Hierarchy(Tree(parent, height), unit(cells.means)[0], sizes, cut), top


def _cells(points: Float32, labels: Int64) -> tuple[Cells, Int64]:
    """Return cells that each have points of one class only, and the class of each of them."""
    rows = np.flatnonzero(labels != NOISE)
    rows = rows[canonical_order(points, rows)]
    cell = np.zeros(len(rows), np.int64)
    of_cell: list[int] = []
    for label in range(int(labels.max(initial=NOISE)) + 1):
        own = np.flatnonzero(labels[rows] == label)
        share = math.ceil(CELLS * len(own) / len(rows))
        found, number = np.unique(
            partition(points, rows[own], max(share, min(len(own), _LEAST))), return_inverse=True
        )
        cell[own] = len(of_cell) + number
        of_cell += [label] * len(found)
    cells = Cells.of(points, rows, cell, np.ones(len(rows)))
    return cells, np.array(of_cell, np.int64)


def _united(cells: Cells, of_cell: Int64, count: int) -> Cells:
    """Return the classes as cells."""
    weights = np.bincount(of_cell, cells.weights, count).astype(np.float64)
    sums = np.zeros((count, cells.means.shape[1]))
    np.add.at(sums, of_cell, cells.means * cells.weights[:, None])
    return Cells(of_cell, sums / weights[:, None], weights)


def _joined(cells: Cells) -> Tree:
    """Return the tree of average linkage over cells."""
    return average_linkage(1 - cells.means @ cells.means.T, cells.weights)


def _place(tree: Tree, nodes: Int64, parent: Int64, height: NDArray[np.float64]) -> None:
    """Write a tree into a larger one, given the number that each of its nodes has there."""
    inside = tree.parent >= 0
    parent[nodes[inside]] = nodes[tree.parent[inside]]
    height[nodes] = tree.height
