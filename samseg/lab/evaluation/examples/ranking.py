"""Ways to rank masks by examples of a category; each returns a score per ranked mask."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ExamplePoints:
    """Unit vectors of examples and of what is ranked by them, all (_, d) float64.

    Attributes:
        raw_accepted: accepted masks, before the transform of the codebook.
        raw_ranked: ranked masks, likewise.
        accepted: accepted masks.
        rejected: rejected masks.
        background: random masks of the same photos.
        ranked: ranked masks.
    """

    raw_accepted: Points
    raw_ranked: Points
    accepted: Points
    rejected: Points
    background: Points
    ranked: Points


def _raw_mean(points: ExamplePoints) -> Points:
    return points.raw_ranked @ points.raw_accepted.mean(axis=0)


def _mean(points: ExamplePoints) -> Points:
    return points.ranked @ points.accepted.mean(axis=0)


def _nearest(points: ExamplePoints) -> Points:
    return (points.ranked @ points.accepted.T).max(axis=1)


def _less_rejected(points: ExamplePoints) -> Points:
    from samseg.stages.edits.example_region import REJECTED_WEIGHT

    less = REJECTED_WEIGHT * points.rejected.mean(axis=0)
    return points.ranked @ (points.accepted.mean(axis=0) - less)


def _logistic(points: ExamplePoints) -> Points:
    from sklearn.linear_model import LogisticRegression

    others = np.concatenate([points.rejected, points.background])
    x = np.concatenate([points.accepted, others])
    y = np.arange(len(x)) < len(points.accepted)
    fitted = LogisticRegression(class_weight="balanced", max_iter=500).fit(x, y)
    scores: Points = fitted.decision_function(points.ranked)
    return scores


RANKINGS: Mapping[str, Callable[[ExamplePoints], Points]] = {
    "plain cosine, mean": _raw_mean,
    "centred cosine, mean": _mean,
    "nearest example": _nearest,
    "mean less rejected": _less_rejected,
    "logistic regression": _logistic,
}
"""Name of each way -> its scores; all but the first compare points of the codebook's transform.

The last two also know rejected masks, as many as accepted ones; the last one takes random masks of
the lake for further masks that are not of the category.
"""
