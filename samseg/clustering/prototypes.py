"""The few masks by which a class is recognised: a net over its core points.

Assigning against every core point of a fit would be exact and slow. A net keeps enough of them
that every mask of the fit, assigned again, gets the class it has.
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
    """m points, each standing for a class.

    Attributes:
        mask_ids: the mask that each prototype is; None for a centre that is no mask.
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

    In order of mask id, a core point is kept unless one kept before lies within eps / 2 of it in
    the same class. Where a border point is then nearer to a foreign prototype, or has none within
    eps, its nearest core point is added.

    Args:
        fit: the classes found in `points`.
        points: (n, d) float32 unit rows.
        mask_ids: n ids.
        class_ids: (fit.classes,) the id that each label goes by.
    """
    ids = np.asarray(class_ids, dtype=np.int32)
    if fit.centers is not None:
        return Prototypes((None,) * len(fit.centers), ids, fit.centers)
    order = np.array(
        sorted(np.flatnonzero(fit.core), key=lambda i: mask_ids[int(i)]), dtype=np.int64
    )
    kept = _net(points, order, fit.labels, fit.eps / 2)
    kept = _cover(points, order, kept, fit)
    chosen = order[np.isin(order, kept)]
    return Prototypes(
        tuple(mask_ids[int(i)] for i in chosen), ids[fit.labels[chosen]], points[chosen]
    )


def _net(points: Float32, order: Int64, labels: Int64, radius: float) -> Int64:
    kept = []
    for label in range(int(labels.max(initial=NOISE)) + 1):
        left = order[labels[order] == label]
        vectors = points[left].astype(np.float64)
        while len(left):
            kept.append(left[0])
            far = 1 - vectors @ vectors[0] > radius
            far[0] = False
            left, vectors = left[far], vectors[far]
    return np.array(kept, dtype=np.int64)


def _cover(points: Float32, order: Int64, kept: Int64, fit: Fit) -> Int64:
    """Add core points until every border point is assigned to its own class."""
    border = np.flatnonzero((fit.labels != NOISE) & ~fit.core)
    if not len(border):
        return kept
    home = order[nearest(points[border], points[order], fit.labels[order]).index]
    while True:
        prototypes = order[np.isin(order, kept)]
        found = nearest(points[border], points[prototypes], fit.labels[prototypes])
        lost = (found.distance > fit.eps) | (
            fit.labels[prototypes][found.index] != fit.labels[border]
        )
        more = np.setdiff1d(home[lost], kept)
        if not len(more):
            return kept
        kept = np.concatenate([kept, more])
