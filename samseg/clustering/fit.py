"""What a clustering strategy returns."""

from dataclasses import dataclass
from typing import Any

from samseg.clustering.cells import Cells
from samseg.clustering.tree import Tree
from samseg.types import Bool, Float32, Int64


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Classes found in n points.

    Attributes:
        labels: (n,) int64, 0 to k - 1 without gaps, -1 for noise.
        core: (n,) bool, core points: any point within `eps` of one belongs to its class. Every
            class has at least one.
        eps: cosine distance within which a mask belongs to a class. None for strategies whose
            classes are recognised by their means (`samseg.clustering.means`), each within a radius
            of its own.
        invalid: points without a direction (zero or not finite); they are noise.
        centers: (k, d) float32, unit length, for strategies that define classes by centres rather
            than core points; None otherwise.
        curve: one row per radius evaluated, where `eps` was chosen automatically
            (`samseg.clustering.eps`).
        remark: what the user should know about this fit, one sentence; empty if nothing.
    """

    labels: Int64
    core: Bool
    eps: float | None
    invalid: int = 0
    centers: Float32 | None = None
    curve: tuple[dict[str, Any], ...] = ()
    remark: str = ""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max(initial=-1)) + 1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TreeFit(Fit):
    """Classes that are branches of a tree over cells.

    Attributes:
        cells: cells of the points.
        tree: over the cells.
        nodes: (k,) int64, the node that each class is.
    """

    cells: Cells
    tree: Tree
    nodes: Int64
