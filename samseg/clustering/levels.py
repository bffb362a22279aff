"""Levels of a fit: what the classes found so far leave out is sampled and fitted again.

A class of a few masks in a million has no or hardly any member in a sample of the lake, but many
in a sample of what no other class takes. Each level adds cells for the masks that are left out,
and one tree over the cells of all levels gives the classes, so that a remainder of a known class
joins it again and does not become another class.

A fit of a sample of the lake is a generator: it yields what must be sampled next and is sent the
sample, so that it can run elsewhere than what reads the lake.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from samseg.clustering.cells import Cells, canonical_order, partition
from samseg.clustering.fit import TreeFit
from samseg.clustering.hierarchy import Hierarchy
from samseg.clustering.linkage import Linkage, branches
from samseg.clustering.nearest import nearest
from samseg.clustering.prototypes import Prototypes, prototypes_of
from samseg.clustering.sample import FitSample
from samseg.clustering.transform import Transform
from samseg.types import NOISE, Bool, Float32, Int64

LEVELS = 3
MORE_CELLS = 750
"""Cells that each further level adds."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class LeftOut:
    """Tells which masks no class takes.

    Attributes:
        transform: from raw embeddings to points.
        prototypes: of the classes.
    """

    transform: Transform
    prototypes: Prototypes

    def __call__(self, embeddings: Float32) -> Bool:
        """Return which of (n, d) raw embeddings are left out, (n,) bool; none without direction."""
        points, valid = self.transform.apply(embeddings)
        return valid & (self.prototypes.assign(points) == NOISE)


Resample = Callable[[LeftOut], tuple[FitSample, int]]
"""Samples the masks of the lake that are left out, and counts them."""

Fitting = Generator[LeftOut, tuple[FitSample, int], T]
"""A fit: yields what to sample, is sent what `Resample` returns, returns its result."""


def fitted(fitting: "Fitting[T]", resample: Resample | None = None) -> T:
    """Run a fit to its end.

    Args:
        fitting: the fit.
        resample: samples the lake; None if the fit has all of it.
    """
    try:
        left_out = next(fitting)
        while True:
            if resample is None:
                raise RuntimeError("a fit of the whole lake asked for another sample")
            left_out = fitting.send(resample(left_out))
    except StopIteration as end:
        result: T = end.value
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Leveled:
    """Classes, and the masks that they were found in.

    Attributes:
        fit: the classes.
        sample: the n masks.
        points: (n, d) float32 unit rows, the masks transformed.
        weights: (n,) float64, how many masks each one stands for, relative to the others.
    """

    fit: TreeFit
    sample: FitSample
    points: Float32
    weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Rest:
    """The masks that no class takes.

    Attributes:
        rows: (m,) int64, those of the sample.
        sample: those of the lake, or a sample of them; it holds all that `rows` does.
        points: (r, d) float32 unit rows, `sample` transformed.
        weights: (r,) float64, as in `Leveled`.
        whole: whether `sample` is all of them.
    """

    rows: Int64
    sample: FitSample
    points: Float32
    weights: NDArray[np.float64]
    whole: bool

    @classmethod
    def of(cls, found: Leveled, transform: Transform, each: float, whole: bool) -> "Fitting[Rest]":
        """Find them.

        Args:
            found: the classes so far.
            transform: from raw embeddings to points.
            each: weight of one mask of the lake.
            whole: whether the sample is all of the lake.
        """
        prototypes = prototypes_of(found.fit, found.points, found.sample.mask_ids, found.weights)
        outside = prototypes.assign(found.points) == NOISE
        rows = np.flatnonzero(found.points.any(axis=1) & outside)
        if whole:
            sample = found.sample.take(rows)
            return cls(rows, sample, found.points[rows], found.weights[rows], True)
        sample, count = yield LeftOut(transform, prototypes)
        weights = np.full(len(sample), each * count / max(len(sample), 1))
        points, _ = transform.apply(sample.embeddings)
        return cls(rows, sample, points, weights, len(sample) == count)

    def joined_to(self, found: Leveled) -> tuple[FitSample, Float32, NDArray[np.float64], Int64]:
        """Replace `rows` of the sample by the rest.

        Returns:
            The masks, their points and weights, and the cells of those that stay, (n - m,) int64.
        """
        kept = np.delete(np.arange(len(found.sample)), self.rows)
        return (
            found.sample.take(kept).followed_by(self.sample),
            np.concatenate([found.points[kept], self.points]),
            np.concatenate([found.weights[kept], self.weights]),
            found.fit.cells.of_point[kept],
        )


def fit_in_levels(
    strategy: Linkage,
    sample: FitSample,
    transform: Transform,
    masks: int,
    whole: bool = True,
    steady: bool = True,
) -> Fitting[Leveled]:
    """Fit a sample, then what is left out, until a level adds no class.

    Args:
        strategy: how classes are found.
        sample: of the lake.
        transform: fitted to the sample.
        masks: masks that the sample was chosen from.
        whole: whether the sample is all of them.
        steady: favour the classes that the masks have under the parent codebook.
    """
    each = len(sample) / max(masks, 1)
    found = _first_level(strategy, sample, transform, steady)
    has_own_cell = len(found.fit.cells) == len(sample) - found.fit.invalid
    del sample  # a level replaces it, and two of them fill a gigabyte
    for _ in range(1, LEVELS):
        if whole and has_own_cell:
            break
        rest = yield from Rest.of(found, transform, each, whole)
        if len(rest.sample) < strategy.min_size:
            break
        more = _with_more_cells(strategy, found, rest, steady)
        if more.fit.classes <= found.fit.classes:
            break
        found, whole = more, rest.whole
    return found


def _first_level(
    strategy: Linkage, sample: FitSample, transform: Transform, steady: bool
) -> Leveled:
    points, _ = transform.apply(sample.embeddings)
    fit = strategy.fit(points, earlier=sample.parent_class_ids if steady else None)
    return Leveled(fit, sample, points, np.ones(len(sample)))


def _with_more_cells(strategy: Linkage, found: Leveled, rest: Rest, steady: bool) -> Leveled:
    sample, points, weights, cell = rest.joined_to(found)
    stay = np.flatnonzero(cell != NOISE)
    order = canonical_order(rest.points, np.arange(len(rest.points)))
    new_cell = len(found.fit.cells) + partition(rest.points, order, MORE_CELLS)
    rows = np.concatenate([stay, len(cell) + order])
    cell = np.concatenate([cell[stay], new_cell])
    earlier = sample.parent_class_ids if steady else None
    fit = strategy.fit_cells(points, rows, cell, weights[rows], earlier)
    return Leveled(fit, sample, points, weights)


def cut_again(
    strategy: Linkage,
    sample: FitSample,
    transform: Transform,
    hierarchy: Hierarchy,
    masks: int,
    whole: bool = True,
) -> Fitting[Leveled]:
    """Cut the tree of an earlier fit at another height.

    A sample of the lake has few masks of rare classes, so what no class takes is sampled once more.

    Args:
        strategy: with the new height.
        sample: of the lake.
        transform: of the earlier fit.
        hierarchy: of the earlier fit.
        masks: masks that the sample was chosen from.
        whole: whether the sample is all of them.
    """
    points, _ = transform.apply(sample.embeddings)
    found = Leveled(_cut(strategy, hierarchy, points), sample, points, np.ones(len(sample)))
    if whole:
        return found
    rest = yield from Rest.of(found, transform, len(sample) / max(masks, 1), whole)
    sample, points, weights, _ = rest.joined_to(found)
    return Leveled(_cut(strategy, hierarchy, points), sample, points, weights)


def _cut(strategy: Linkage, hierarchy: Hierarchy, points: Float32) -> TreeFit:
    valid = points.any(axis=1)
    same = np.zeros(len(hierarchy.vectors), np.int64)
    cell = np.where(valid, nearest(points, hierarchy.vectors, same).index, NOISE)
    labels, nodes = branches(hierarchy.tree, cell, strategy.threshold, strategy.min_size)
    return TreeFit(
        labels,
        core=labels != NOISE,
        eps=None,
        invalid=int((~valid).sum()),
        cells=Cells(cell, hierarchy.vectors.astype(np.float64), hierarchy.sizes.astype(np.float64)),
        tree=hierarchy.tree,
        nodes=nodes,
    )
