"""Does a model know how good its masks are? Predicted against true IoU.

Mean absolute error says how far the prediction is off, correlation whether it ranks masks, and
the reliability table where it errs (Niculescu-Mizil, Caruana, "Predicting good probabilities with
supervised learning", 2005, for the diagram).
"""

import numpy as np
from numpy.typing import NDArray

from samseg.spec import Spec

BINS = 10


class Bin(Spec):
    """The masks whose predicted IoU lies in one tenth of [0, 1].

    Attributes:
        low: lower end, inclusive; the first bin also holds predictions below 0.
        high: upper end, exclusive; the last bin also holds predictions of 1 and above.
        masks: how many.
        predicted: mean predicted IoU; None where there are no masks.
        true: mean true IoU; None where there are no masks.
    """

    low: float
    high: float
    masks: int
    predicted: float | None
    true: float | None


class Calibration(Spec):
    """How predicted and true IoU agree.

    Attributes:
        masks: how many.
        error: mean absolute difference.
        pearson: linear correlation; None where either is constant.
        spearman: rank correlation; None where either is constant.
        bins: the reliability table.
    """

    masks: int
    error: float
    pearson: float | None
    spearman: float | None
    bins: tuple[Bin, ...]

    @classmethod
    def of(cls, predicted: NDArray[np.floating], true: NDArray[np.floating]) -> "Calibration":
        """Compare predictions with the truth.

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
