"""ClassAgreement of classes with true categories, from their contingency table.

AMI: Vinh, Epps, Bailey, 2010; ARI: Hubert, Arabie, 1985; V-measure: Rosenberg, Hirschberg, 2007.
AMI and ARI are 0 for chance, and all are 1 for perfect agreement.
"""

import numpy as np
from numpy.typing import NDArray

from samseg.lab.evaluation.classes import semantic
from samseg.lab.evaluation.classes.record import ClassAgreement
from samseg.types import NOISE, Int64


def agreement(
    codes: NDArray[np.integer], labels: NDArray[np.integer], pixels: Int64
) -> ClassAgreement:
    """Compare the classes of n masks with their categories.

    Args:
        codes: (n,) the category of each mask, n > 0.
        labels: (n,) the class of each mask, or -1 for noise.
        pixels: (k + 1, categories) int64; see `semantic.pixel_tables`.
    """
    from sklearn.metrics import adjusted_rand_score, v_measure_score
    from sklearn.metrics.cluster import contingency_matrix

    inside = labels != NOISE
    purity = None
    if inside.any():
        table = contingency_matrix(labels[inside], codes[inside], sparse=True)
        purity = float(table.max(axis=1).sum() / table.sum())
    return ClassAgreement(
        classes=len(np.unique(labels[inside])),
        coverage=float(inside.mean()),
        ami=ami(codes, labels),
        ari=float(adjusted_rand_score(codes, labels)),
        v_measure=float(v_measure_score(codes, labels)),
        purity=purity,
        accuracy=accuracy(codes, labels),
        miou=semantic.mean_iou(pixels),
        miou_shared=semantic.shared(pixels),
    )


def ami(codes: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """Return the adjusted mutual information; noise counts as one class."""
    from sklearn.metrics import adjusted_mutual_info_score

    return float(adjusted_mutual_info_score(codes, labels))


def accuracy(codes: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """Return the accuracy of the best one-to-one naming of classes (Kuhn, 1955)."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix

    inside = labels != NOISE
    if not inside.any():
        return 0.0
    table = contingency_matrix(labels[inside], codes[inside], sparse=True).toarray()
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / len(codes))
