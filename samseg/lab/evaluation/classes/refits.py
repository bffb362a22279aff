"""What stands after a refit of a lake that has grown: ids of masks, and names of classes.

Classes of the photos of before are named as a person would: each after the category that most of
its masks have.
"""

from typing import NamedTuple

import numpy as np

from samseg.clustering.codebook import Codebook
from samseg.lab.evaluation.classes.labelled_masks import LabelledMasks
from samseg.lab.evaluation.classes.rows import Row
from samseg.types import NOISE, Bool


class AfterRefit(NamedTuple):
    """Fractions.

    Attributes:
        kept: of the masks with a class before and after, those with the same id.
        right: of the masks with a category, those whose class has its name.
        wrong: of these, those whose class has another name.
    """

    kept: float
    right: float
    wrong: float


def after_refit(masks: LabelledMasks, row: Row, first: Codebook, inside: Bool) -> AfterRefit:
    """Fit the classes of some photos again to all photos.

    Args:
        masks: n masks, some of them with a category.
        row: their embedding, and its fit.
        first: fitted to some of the masks.
        inside: (n,) bool, these masks.
    """
    before = first.assign(row.vectors).class_ids
    again = row.fit(masks, np.arange(len(masks)), first)
    after = again.assign(row.vectors).class_ids
    pairs = np.stack([before, masks.codes], axis=1)[inside & masks.known & (before != NOISE)]
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    order = np.argsort(counts, kind="stable")  # the most frequent category of a class comes last
    name_of = dict(found[order].tolist())
    names = np.array([name_of.get(class_id, NOISE) for class_id in after.tolist()])
    both = (before != NOISE) & (after != NOISE)
    right = names[masks.known] == masks.codes[masks.known]
    wrong = ~right & (names[masks.known] != NOISE)
    kept = float((before == after)[both].mean()) if both.any() else 1.0
    return AfterRefit(kept, float(right.mean()), float(wrong.mean()))
