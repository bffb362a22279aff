"""The tree of a codebook over its cells: what coarser and finer classes are read from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from samseg.clustering.nearest import nearest
from samseg.clustering.tree import Tree
from samseg.types import NOISE, Float32, Int32, Int64

ABOVE = -2
"""Stands in place of a class id at nodes above the cut."""


@dataclass(frozen=True, slots=True, eq=False)
class Hierarchy:
    """A tree over k cells.

    Attributes:
        tree: its leaves are the cells.
        vectors: (k, d) float32 unit rows, transformed: the mean direction of each cell.
        sizes: (k,) int64, masks of the fit sample in each cell.
        cut: height at which the tree is cut into the classes of the codebook.
    """

    tree: Tree
    vectors: Float32
    sizes: Int64
    cut: float

    def class_ids(self, class_of_node: Mapping[int, int]) -> Int32:
        """Return the class of every node, (2k - 1,) int32: -1 for noise, `ABOVE` above the cut.

        Args:
            class_of_node: class id of the node that each class is.
        """
        top = self.tree.cut(self.cut)
        found = np.array([class_of_node.get(int(node), NOISE) for node in top], np.int32)
        found[self.tree.height > self.cut] = ABOVE
        return found

    def nearest_cells(self, points: Float32, class_ids: Int32, of_cells: Int32) -> Int32:
        """Return the nearest cell of each point within the point's class; -1 for noise.

        Args:
            points: (n, d) float32 unit rows.
            class_ids: (n,) class of each point.
            of_cells: (k,) class of each cell.
        """
        cells = np.full(len(points), NOISE, np.int32)
        if not len(points):
            return cells
        by_class, by_cell = (
            np.argsort(class_ids, kind="stable"),
            np.argsort(of_cells, kind="stable"),
        )
        found, start = np.unique(class_ids[by_class], return_index=True)
        first, last = (
            np.searchsorted(of_cells[by_cell], found, side) for side in ("left", "right")
        )
        for class_id, rows, a, b in zip(
            found, np.split(by_class, start[1:]), first, last, strict=True
        ):
            own = by_cell[a:b]
            if class_id == NOISE:
                continue
            if len(own) == 1:
                cells[rows] = own[0]
            else:
                same = np.zeros(len(own), np.int64)
                cells[rows] = own[nearest(points[rows], self.vectors[own], same).index]
        return cells
