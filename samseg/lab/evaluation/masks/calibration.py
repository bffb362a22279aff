"""Calibration of predicted IoU against true IoU.

Mean absolute error measures the size of the prediction error, correlation the ranking of masks,
and the reliability table shows where the prediction errs (reliability diagram: Niculescu-Mizil,
Caruana, "Predicting good probabilities with supervised learning", 2005).
"""

import numpy as np
from numpy.typing import NDArray

from samseg.spec import Spec

BINS = 10


class Bin(Spec):
    """Masks whose predicted IoU lies in one tenth of [0, 1].

    Attributes:
        low: lower end, inclusive; the first bin also holds predictions below 0.
        high: upper end, exclusive; the last bin also holds predictions of 1 and above.
        masks: number of masks.
        predicted: mean predicted IoU; None if there are no masks.
        true: mean true IoU; None if there are no masks.
    """

    low: float
    high: float
    masks: int
    predicted: float | None
    true: float | None


class Calibration(Spec):
    """Agreement of predicted and true IoU.

    Attributes:
        masks: number of masks.
        error: mean absolute difference.
        pearson: linear correlation; None if either is constant.
        spearman: rank correlation; None if either is constant.
        bins: the reliability table.
    """

    masks: int
    error: float
    pearson: float | None
    spearman: float | None
    bins: tuple[Bin, ...]

    @classmethod
    def of(cls, predicted: NDArray[np.floating], true: NDArray[np.floating]) -> "Calibration":
        """Compare predicted with true IoU.

        Args:
            predicted: (m,) predicted IoU, m > 0.
            true: (m,) true IoU in [0, 1].
        """
        from scipy import stats

        predicted, true = predicted.astype(np.float64), true.astype(np.float64)
        vary = bool(np.ptp(predicted) and np.ptp(true))
        at = np.clip(np.floor(predicted * BINS), 0, BINS - 1)
        return cls(
            masks=len(predicted),
            error=float(np.abs(predicted - true).mean()),
            pearson=float(stats.pearsonr(predicted, true).statistic) if vary else None,
            spearman=float(stats.spearmanr(predicted, true).statistic) if vary else None,
            bins=tuple(_bin(i, predicted[at == i], true[at == i]) for i in range(BINS)),
        )


def _bin(i: int, predicted: NDArray[np.float64], true: NDArray[np.float64]) -> Bin:
    return Bin(
        low=i / BINS,
        high=(i + 1) / BINS,
        masks=len(predicted),
        predicted=float(predicted.mean()) if len(predicted) else None,
        true=float(true.mean()) if len(true) else None,
    )
