"""Prototypes: what masks are compared with to find their class.

A class is represented by its mean, or, where a strategy defines classes by core points, by a subset
of these: comparing with all of them would be exact and slow. The subset is chosen so that assigning
the masks of the fit again reproduces their classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.clustering.fit import Fit
from samseg.clustering.means import class_means
from samseg.clustering.nearest import Nearest, nearest
from samseg.types import NOISE, Float32, Int32, Int64


@dataclass(frozen=True, slots=True, eq=False)
class Prototypes:
    """m points, each representing a class.

    Attributes:
        mask_ids: the mask of each prototype; None for a mean that is not a mask.
        class_ids: (m,) int32.
        vectors: (m, d) float32 unit rows, transformed.
        radii: (m,) float64, cosine distance within which a mask belongs to the class.
    """

    mask_ids: tuple[str | None, ...]
    class_ids: Int32
    vectors: Float32
    radii: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.mask_ids)

    def take(self, rows: Int64, class_ids: NDArray[np.integer]) -> "Prototypes":
        """Return the prototypes at `rows` under other class ids."""
        mask_ids = tuple(self.mask_ids[int(row)] for row in rows)
        ids = np.asarray(class_ids, np.int32)
        return Prototypes(mask_ids, ids, self.vectors[rows], self.radii[rows])

    def nearest(self, points: Float32) -> tuple[Int32, Nearest]:
        """Return the class of each point, (n,) int32, -1 beyond all radii, and what decided it."""
        found = nearest(points, self.vectors, self.class_ids)
        if not len(self):
            return np.full(len(points), NOISE, np.int32), found
        within = found.distance <= self.radii[found.index]
        return np.where(within, self.class_ids[found.index], NOISE).astype(np.int32), found

    def assign(self, points: Float32) -> Int32:
        """Return the class of each point, (n,) int32; see `nearest`."""
        return self.nearest(points)[0]


def prototypes_of(
    fit: Fit,
    points: Float32,
    mask_ids: Sequence[str],
    weights: NDArray[np.float64] | None = None,
) -> Prototypes:
    """Choose prototypes for every class of a fit; their class ids are its labels.

    Classes without `eps` are represented by their means. Of the others, in order of mask id, a core
    point is selected unless a selected point of its class lies within eps / 2. Where a border point
    is then nearest to a prototype of another class, or has none within eps, its nearest core point
    is added.

    Args:
        fit: the classes found in `points`.
        points: (n, d) float32 unit rows.
        mask_ids: n ids.
        weights: (n,) how many masks each one stands for; 1 where None.
    """
    every = np.arange(fit.classes, dtype=np.int32)
    if fit.eps is None:
        weights = np.ones(len(points)) if weights is None else weights
        vectors, radii = class_means(points, fit.labels, weights)
        return Prototypes((None,) * len(every), every, vectors, radii)
    if fit.centers is not None:
        radii = np.full(len(every), fit.eps)
        return Prototypes((None,) * len(every), every, fit.centers, radii)
    order = np.array(
        sorted(np.flatnonzero(fit.core), key=lambda i: mask_ids[int(i)]), dtype=np.int64
    )
    selected = _cover_core(points, order, fit.labels, fit.eps / 2)
    selected = _cover_border(points, order, selected, fit, fit.eps)
    chosen = order[np.isin(order, selected)]
    return Prototypes(
        tuple(mask_ids[int(i)] for i in chosen),
        fit.labels[chosen].astype(np.int32),
        points[chosen],
        np.full(len(chosen), fit.eps),
    )


def _cover_core(points: Float32, order: Int64, labels: Int64, radius: float) -> Int64:
    """Select core points greedily until each is within `radius` of one of its class."""
    selected = []
    for label in range(int(labels.max(initial=NOISE)) + 1):
        left = order[labels[order] == label]
        vectors = points[left].astype(np.float64)
        while len(left):
            selected.append(left[0])
            far = 1 - vectors @ vectors[0] > radius
            far[0] = False
            left, vectors = left[far], vectors[far]
    return np.array(selected, dtype=np.int64)


def _cover_border(points: Float32, order: Int64, selected: Int64, fit: Fit, eps: float) -> Int64:
    """Add core points until every border point is assigned to its own class."""
    border = np.flatnonzero((fit.labels != NOISE) & ~fit.core)
    if not len(border):
        return selected
    nearest_core = order[nearest(points[border], points[order], fit.labels[order]).index]
    while True:
        prototypes = order[np.isin(order, selected)]
        found = nearest(points[border], points[prototypes], fit.labels[prototypes])
        wrong = (found.distance > eps) | (fit.labels[prototypes][found.index] != fit.labels[border])
        more = np.setdiff1d(nearest_core[wrong], selected)
        if not len(more):
            return selected
        selected = np.concatenate([selected, more])
