"""Prototypes: a subset of the core points of each class that masks are compared with.

Comparing with every core point of a fit would be exact and slow. The subset is chosen so that
assigning the masks of the fit again reproduces their classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.clustering.fit import Fit
from samseg.clustering.nearest import nearest
from samseg.types import NOISE, Float32, Int32, Int64


@dataclass(frozen=True, slots=True, eq=False)
class Prototypes:
    """m points, each representing a class.

    Attributes:
        mask_ids: the mask of each prototype; None for a centre that is not a mask.
        class_ids: (m,) int32.
        vectors: (m, d) float32 unit rows, transformed.
    """

    mask_ids: tuple[str | None, ...]
    class_ids: Int32
    vectors: Float32

    def __len__(self) -> int:
        return len(self.mask_ids)


def prototypes_of(
    fit: Fit, points: Float32, mask_ids: Sequence[str], class_ids: NDArray[np.integer]
) -> Prototypes:
    """Choose prototypes for every class of a fit.

    In order of mask id, a core point is selected unless a selected point of its class lies within
    eps / 2. Where a border point is then nearest to a prototype of another class, or has none
    within eps, its nearest core point is added.

    Args:
        fit: the classes found in `points`.
        points: (n, d) float32 unit rows.
        mask_ids: n ids.
        class_ids: (fit.classes,) class id of each label.
    """
    ids = np.asarray(class_ids, dtype=np.int32)
    if fit.centers is not None:
        return Prototypes((None,) * len(fit.centers), ids, fit.centers)
    order = np.array(
        sorted(np.flatnonzero(fit.core), key=lambda i: mask_ids[int(i)]), dtype=np.int64
    )
    selected = _cover_core(points, order, fit.labels, fit.eps / 2)
    selected = _cover_border(points, order, selected, fit)
    chosen = order[np.isin(order, selected)]
    return Prototypes(
        tuple(mask_ids[int(i)] for i in chosen), ids[fit.labels[chosen]], points[chosen]
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


def _cover_border(points: Float32, order: Int64, selected: Int64, fit: Fit) -> Int64:
    """Add core points until every border point is assigned to its own class."""
    border = np.flatnonzero((fit.labels != NOISE) & ~fit.core)
    if not len(border):
        return selected
    nearest_core = order[nearest(points[border], points[order], fit.labels[order]).index]
    while True:
        prototypes = order[np.isin(order, selected)]
        found = nearest(points[border], points[prototypes], fit.labels[prototypes])
        wrong = (found.distance > fit.eps) | (
            fit.labels[prototypes][found.index] != fit.labels[border]
        )
        more = np.setdiff1d(nearest_core[wrong], selected)
        if not len(more):
            return selected
        selected = np.concatenate([selected, more])
