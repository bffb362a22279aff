"""One step finer or coarser from a class, along the codebook's tree."""

from dataclasses import dataclass

import numpy as np

from samseg.clustering.codebook import Codebook
from samseg.edits.resolved import ResolvedClasses
from samseg.stages.edits.sides import branch
from samseg.types import NOISE, Bool, Int32, Int64


@dataclass(frozen=True, slots=True, eq=False)
class TreeSteps:
    """The tree of a codebook; those of earlier versions may have none.

    Attributes:
        codebook: the codebook.
        of_cells: (k,) int32, the class of each cell as the codebook has it.
    """

    codebook: Codebook
    of_cells: Int32

    @classmethod
    def of(cls, codebook: Codebook) -> "TreeSteps":
        """Return the steps of a codebook."""
        leaves = codebook.hierarchy.tree.leaves if codebook.hierarchy else 0
        return cls(codebook, codebook.node_classes[:leaves])

    def finer(self, found: ResolvedClasses, class_id: int) -> tuple[Int64, Int64] | None:
        """Return the cells of the two branches of a class; None if it cannot be divided."""
        hierarchy = self.codebook.hierarchy
        cells = np.flatnonzero(found.classes_of_cells(self.of_cells) == class_id)
        if hierarchy is None or len(cells) < 2:
            return None
        second = branch(hierarchy, cells)
        return cells[~second], cells[second]

    def coarser(self, found: ResolvedClasses, class_id: int) -> tuple[int, ...]:
        """Return the classes that the next join above a class unites with it; none at the root."""
        hierarchy, classes = self.codebook.hierarchy, found.classes_of_cells(self.of_cells)
        own = classes == class_id
        if hierarchy is None or not own.any():
            return ()
        parent = hierarchy.tree.parent
        inside = _top(parent, own)
        while inside >= 0:
            below = classes[_leaves(parent, inside, len(classes))]
            others = sorted({*below.tolist()} - {class_id, NOISE})
            if others:
                return tuple(others)
            inside = int(parent[inside])
        return ()


def _top(parent: Int64, own: Bool) -> int:
    """Return the lowest node above all of some leaves."""
    below = np.zeros(len(parent), np.int64)
    below[: len(own)] = own
    for node, above in enumerate(parent.tolist()):  # a parent follows its children
        if above >= 0:
            below[above] += below[node]
    return int(np.flatnonzero(below == own.sum())[0])


def _leaves(parent: Int64, top: int, leaves: int) -> Bool:
    """Return which leaves are below a node, (k,) bool."""
    inside = np.zeros(top + 1, np.bool_)
    inside[top] = True
    for node in range(top - 1, -1, -1):
        inside[node] = parent[node] <= top and parent[node] >= 0 and inside[parent[node]]
    known = np.zeros(leaves, np.bool_)
    known[: min(leaves, top + 1)] = inside[:leaves]
    return known
