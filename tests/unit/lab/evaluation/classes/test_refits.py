"""What stands after a refit: ids and names of classes that grew, and masks of new ones."""

import numpy as np
import pytest

from samseg.clustering import Linkage
from samseg.clustering.settings import ClusterSettings
from samseg.lab.evaluation.classes.labelled_masks import UNMATCHED, LabelledMasks, PhotoMasks
from samseg.lab.evaluation.classes.refits import after_refit
from samseg.lab.evaluation.classes.rows import Row

KINDS = ("apple", "pear", "plum")


def lake(kinds, codes=None):
    """Return masks near the axes of their kinds, and their embedding."""
    g = np.random.default_rng(0)
    vectors = 4 * np.eye(24)[kinds] + g.normal(size=(len(kinds), 24)) / 3
    known = np.array(kinds if codes is None else codes)
    part = PhotoMasks(tuple(f"{i:04d}" for i in range(len(kinds))), ({},) * len(kinds), known)
    row = Row("r", ClusterSettings(fit=Linkage(min_size=3)), vectors.astype(np.float32))
    return LabelledMasks.join({"p": part}, KINDS, {}), row


def scores(masks, row, before):
    inside = np.arange(len(masks)) < before
    return after_refit(masks, row, row.fit(masks, np.flatnonzero(inside)), inside)


def test_classes_that_grew_keep_their_names_and_a_new_one_has_none():
    masks, row = lake([0, 1] * 10 + [0, 1, 2] * 10)
    assert scores(masks, row, 20) == (1.0, pytest.approx(0.8), 0.0)


def test_a_mask_of_another_category_has_a_wrong_name():
    kinds = [0, 1] * 10
    codes = [*kinds[:-4], 1, 0, 1, 0]
    masks, row = lake(kinds, codes)
    assert scores(masks, row, 16) == (1.0, pytest.approx(0.8), pytest.approx(0.2))


def test_masks_without_a_category_do_not_count():
    masks, row = lake([0, 1] * 10, [0, 1] * 8 + [UNMATCHED] * 4)
    assert scores(masks, row, 16) == (1.0, 1.0, 0.0)
