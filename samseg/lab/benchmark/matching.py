"""Agreement of two lists of masks, by one-to-one matching on IoU.

For comparing two segmenters, or one with itself. Thresholds and suppression turn rounding
differences into whole masks gained or lost, so equality is measured as recall and precision at high
IoU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Rle = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Counts of matched masks, summed over images.

    Attributes:
        wanted: number of reference masks.
        found: number of masks compared with them.
        at_90: number of matched pairs with IoU at least 0.9.
        at_99: number of matched pairs with IoU at least 0.99.
        matched: number of matched pairs with IoU above 0.
        iou_sum: sum of the IoU of the matched pairs.
        count_difference: sum over images of the absolute difference in the number of masks.
    """

    wanted: int = 0
    found: int = 0
    at_90: int = 0
    at_99: int = 0
    matched: int = 0
    iou_sum: float = 0.0
    count_difference: int = 0

    def __add__(self, other: "Agreement") -> "Agreement":
        """Add the counts of two agreements."""
        return Agreement(
            self.wanted + other.wanted,
            self.found + other.found,
            self.at_90 + other.at_90,
            self.at_99 + other.at_99,
            self.matched + other.matched,
            self.iou_sum + other.iou_sum,
            self.count_difference + other.count_difference,
        )

    def recall(self, at: float) -> float:
        """Return the fraction of reference masks matched at IoU 0.9 or 0.99; 1 for none."""
        return self._hits(at) / self.wanted if self.wanted else 1.0

    def precision(self, at: float) -> float:
        """Return the fraction of found masks matched at IoU 0.9 or 0.99; 1 for none."""
        return self._hits(at) / self.found if self.found else 1.0

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the matched pairs; 1 if there are none."""
        return self.iou_sum / self.matched if self.matched else 1.0

    def _hits(self, at: float) -> int:
        return {0.9: self.at_90, 0.99: self.at_99}[at]


def agreement(wanted: Sequence[Rle], found: Sequence[Rle]) -> Agreement:
    """Match the masks of one image one to one, maximising the sum of IoU.

    Args:
        wanted: COCO compressed RLEs of the reference.
        found: COCO compressed RLEs of the same image.
    """
    from pycocotools import mask as coco
    from scipy.optimize import linear_sum_assignment

    counts = Agreement(len(wanted), len(found), count_difference=abs(len(wanted) - len(found)))
    if not wanted or not found:
        return counts
    iou = np.asarray(coco.iou(list(found), list(wanted), [0] * len(wanted)))
    best = iou[linear_sum_assignment(iou, maximize=True)]
    best = best[best > 0]
    return counts + Agreement(
        at_90=int((best >= 0.9).sum()),
        at_99=int((best >= 0.99).sum()),
        matched=len(best),
        iou_sum=float(best.sum()),
    )
