"""Mean scores of groups of segments: all, things, stuff, and by area."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samseg.lab.evaluation.masks.clicks import Float64
from samseg.spec import Spec
from samseg.types import Bool

AREAS = (0.01, 0.05, 0.2)
"""Limits between the groups by area, as fractions of the photo."""

RESAMPLES = 1000
_NAMES = ("under 1 %", "1 to 5 %", "5 to 20 %", "over 20 %")


class Mean(Spec):
    """A mean over segments, with a 95 % bootstrap interval over photos.

    Attributes:
        value: the mean.
        low: 2.5th percentile of the means of resampled photos.
        high: 97.5th percentile.
    """

    value: float
    low: float
    high: float


class GroupScores(Spec):
    """Scores of one click over a group of segments.

    Attributes:
        name: `all`, `things`, `stuff`, or a range of areas.
        segments: number of segments.
        best: IoU of the best of the three masks.
        preferred: IoU of the mask of highest predicted IoU.
        most_stable: IoU of the mask of highest stability score.
        by_product: IoU of the mask with the highest product of the two.
        boundary: boundary IoU of the best of the three masks; see `clicks.boundary_iou`.
    """

    name: str
    segments: int
    best: Mean
    preferred: Mean
    most_stable: Mean
    by_product: Mean
    boundary: Mean


class SegmentScores(NamedTuple):
    """Scores of n segments.

    Attributes:
        photos: (n,) int64, number of the photo.
        areas: (n,) float64, fraction of the photo.
        things: (n,) float64, 1 for things, 0 for stuff, NaN if unknown.
        true_iou: (n, 3) float64; see `clicks.ClickScores`.
        predicted_iou: (n, 3) float64.
        stability: (n, 3) float64.
        boundary: (n,) float64.
    """

    photos: NDArray[np.int64]
    areas: Float64
    things: Float64
    true_iou: Float64
    predicted_iou: Float64
    stability: Float64
    boundary: Float64

    def groups(self, seed: int = 0) -> tuple[GroupScores, ...]:
        """Score all groups that have segments."""
        each = np.arange(len(self.areas))
        columns: Mapping[str, Float64] = {
            "best": self.true_iou.max(axis=1),
            "preferred": self.true_iou[each, self.predicted_iou.argmax(axis=1)],
            "most_stable": self.true_iou[each, self.stability.argmax(axis=1)],
            "by_product": self.true_iou[each, (self.predicted_iou * self.stability).argmax(axis=1)],
            "boundary": self.boundary,
        }
        return tuple(
            GroupScores(
                name=name,
                segments=int(chosen.sum()),
                **{
                    column: mean_by_photo(values[chosen], self.photos[chosen], seed)
                    for column, values in columns.items()
                },
            )
            for name, chosen in self._members()
            if chosen.any()
        )

    def _members(self) -> Iterator[tuple[str, Bool]]:
        yield "all", np.ones(len(self.areas), dtype=np.bool_)
        yield "things", self.things == 1
        yield "stuff", self.things == 0
        of_area = np.searchsorted(AREAS, self.areas, side="right")
        for i, name in enumerate(_NAMES):
            yield name, of_area == i


def mean_by_photo(values: Float64, photos: NDArray[np.int64], seed: int) -> Mean:
    """Return a mean and its bootstrap interval, resampling photos with all their segments.

    Args:
        values: (n,) float64, at least one.
        photos: (n,) int64, number of the photo of each value.
        seed: seed of the resamples.
    """
    _, inverse = np.unique(photos, return_inverse=True)
    sums, counts = np.bincount(inverse, values), np.bincount(inverse)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES)
    low, high = np.percentile(drawn @ sums / (drawn @ counts), [2.5, 97.5])
    return Mean(value=float(values.mean()), low=float(low), high=float(high))
