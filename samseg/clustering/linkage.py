"""Average linkage by cosine distance, cut at a height: classes of similar masks, few are noise.

The cut is a mean cosine distance, not a density, so the same value suits lakes of very different
content and the number of classes need not be known (`samseg.clustering.tree`). Beyond a few
thousand points the tree is built over cells (`samseg.clustering.cells`); it is kept, so that
coarser and finer classes can be had without a fit.

On true segments of four labelled sets the AMI with the labels is within .03 of its best for cuts
from .75 to .85 on photos of many things, and grows up to .95 where few kinds recur in every photo.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from samseg.clustering.cells import Cells, canonical_order, partition
from samseg.clustering.fit import TreeFit
from samseg.clustering.transform import unit
from samseg.clustering.tree import Tree, average_linkage
from samseg.spec import Spec
from samseg.types import NOISE, Float32, Int64

CELLS = 2_500
"""Cells of the first level of a fit (`samseg.clustering.levels`)."""

MOST_CELLS = 5_000
"""Cells that a tree is built over at most; their distances take 200 MB. Where earlier classes are
scattered over all cells, dividing by them would give many times as many."""

STAY, APART = 0.15, 0.1
"""In a refit, distances between masks of one earlier class are this much shorter, and those between
masks of two this much longer. Without it, a tree over a larger sample of the same lake branches
elsewhere by chance. When the photos of coco_panoptic doubled, 96 % of the true segments kept their
class id, 74 % without it, at nearly the same AMI with the labels (.565, .577; means of five random
halves). Values from .1 to .2 are about as good."""


class Linkage(Spec):
    """Classes that are branches of a tree.

    Attributes:
        threshold: height of the cut, the mean cosine distance up to which groups are joined. Lower
            gives more and finer classes. It means something on centred embeddings only.
        min_size: masks that make a class; smaller groups are noise.
    """

    SAMPLE: ClassVar[int] = 200_000

    kind: Literal["linkage"] = "linkage"
    threshold: float = Field(default=0.8, gt=0, lt=2)
    min_size: int = Field(default=5, ge=2)

    def fit(
        self,
        points: Float32,
        keys: Sequence[str] | None = None,
        earlier: NDArray[np.integer] | None = None,
    ) -> TreeFit:
        """Find classes.

        Args:
            points: (n, d) float32; only directions matter.
            keys: ignored.
            earlier: (n,) class id of each point under the parent codebook, or -1; see `STAY`.
        """
        vectors, valid = unit(points)
        rows = np.flatnonzero(valid)
        rows = rows[canonical_order(vectors, rows)]
        refit = earlier is not None and (earlier != NOISE).any()
        # division by earlier classes about doubles the cells, and the tree is quadratic in them
        cell = partition(vectors, rows, CELLS // 2 if refit and len(rows) > CELLS else CELLS)
        return self.fit_cells(vectors, rows, cell, np.ones(len(rows)), earlier)

    def fit_cells(
        self,
        points: Float32,
        rows: Int64,
        cell: Int64,
        weights: NDArray[np.float64],
        earlier: NDArray[np.integer] | None = None,
    ) -> TreeFit:
        """Find classes of given cells.

        Args:
            points: (n, d) float32 unit rows.
            rows: (m,) int64, the points to look at; the others are noise and counted as invalid.
            cell: (m,) int64, the cell of each of them.
            weights: (m,) float64, how many masks each of them stands for.
            earlier: (n,) as for `fit`. Cells are divided by it.
        """
        known = np.full(len(rows), NOISE) if earlier is None else earlier[rows]
        pairs, cell = np.unique(np.stack([cell, known], axis=1), axis=0, return_inverse=True)
        pairs, cell = _largest(pairs, cell.reshape(-1), weights)
        cells = Cells.of(points, rows, cell, weights)
        tree = average_linkage(_distances(cells, pairs[:, 1]), cells.weights)
        labels, nodes = branches(tree, cells.of_point, self.threshold, self.min_size)
        return TreeFit(
            labels,
            core=labels != NOISE,
            eps=None,
            invalid=len(points) - len(rows),
            cells=cells,
            tree=tree,
            nodes=nodes,
        )


def _largest(
    pairs: NDArray[np.integer], pair: Int64, weights: NDArray[np.float64]
) -> tuple[NDArray[np.integer], Int64]:
    """Divide cells by the largest pairs of a cell and an earlier class only.

    The points of any other pair join the largest pair of their cell.

    Args:
        pairs: (p, 2) cell and earlier class, in order.
        pair: (m,) int64, the pair of each point.
        weights: (m,) float64, how many masks each point stands for.

    Returns:
        At most `MOST_CELLS` pairs, or one per cell if there are more cells, and the pair of each
        point.
    """
    if len(pairs) <= MOST_CELLS:
        return pairs, pair
    weight = np.bincount(pair, weights, len(pairs))
    by_weight = np.argsort(-weight, kind="stable")
    _, first = np.unique(pairs[by_weight, 0], return_index=True)
    main = by_weight[first]  # of each cell
    others = by_weight[~np.isin(by_weight, main)][: max(0, MOST_CELLS - len(main))]
    kept = np.sort(np.concatenate([main, others]))
    of_cell = main[np.searchsorted(pairs[main, 0], pairs[:, 0])]
    target = np.where(np.isin(np.arange(len(pairs)), kept), np.arange(len(pairs)), of_cell)
    return pairs[kept], np.searchsorted(kept, target[pair]).astype(np.int64)


def _distances(cells: Cells, earlier: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return mean cosine distances between cells, (k, k) float64, shifted by `STAY` and `APART`.

    The mean cosine distance over pairs of unit vectors of two groups is 1 - a.b, with a and b the
    means of the groups, not scaled to unit length.
    """
    distance = cells.means @ cells.means.T
    np.subtract(1, distance, out=distance)
    known = np.flatnonzero(earlier != NOISE)
    for class_id in np.unique(earlier[known]):
        own, others = known[earlier[known] == class_id], known[earlier[known] != class_id]
        distance[np.ix_(own, own)] -= STAY
        distance[np.ix_(own, others)] += APART
    return distance


def branches(tree: Tree, cell: Int64, height: float, min_size: int) -> tuple[Int64, Int64]:
    """Cut a tree into classes.

    Args:
        tree: over cells.
        cell: (n,) int64, the cell of each point, or -1.
        height: of the cut.
        min_size: points that make a class.

    Returns:
        (n,) int64 labels, 0 to k - 1, or -1; and (k,) int64, the node of each class.
    """
    inside = np.flatnonzero(cell != NOISE)
    top = tree.cut(height)[cell[inside]]
    nodes, group, size = np.unique(top, return_inverse=True, return_counts=True)
    kept = size >= min_size
    number = np.where(kept, np.cumsum(kept) - 1, NOISE)
    labels = np.full(len(cell), NOISE, np.int64)
    labels[inside] = number[group]
    return labels, nodes[kept]
