import warnings

import numpy as np
import pytest

from samseg.lab.evaluation.masks.calibration import Calibration


def test_perfect_predictions():
    true = np.random.default_rng(0).uniform(0, 1, 200)
    found = Calibration.of(true, true)
    assert found.error == 0
    assert found.pearson == pytest.approx(1) and found.spearman == pytest.approx(1)
    assert [b.predicted for b in found.bins] == [b.true for b in found.bins]


def test_predictions_with_correct_ranks_and_wrong_values():
    true = np.linspace(0, 1, 50)
    found = Calibration.of(true**3 + 0.2, true)
    assert found.spearman == pytest.approx(1)
    assert found.pearson is not None and found.pearson < 0.95
    assert found.error == pytest.approx(np.abs(true**3 + 0.2 - true).mean())


def test_random_predictions():
    rng = np.random.default_rng(0)
    found = Calibration.of(rng.uniform(0, 1, 4000), rng.uniform(0, 1, 4000))
    assert abs(found.pearson) < 0.05 and abs(found.spearman) < 0.05
    assert found.error == pytest.approx(1 / 3, abs=0.02)


def test_the_reliability_table():
    predicted = np.array([-0.1, 0.05, 0.0999, 0.1, 0.95, 1.0, 1.2], np.float32)
    true = np.array([0.0, 0.1, 0.2, 0.3, 0.8, 0.9, 1.0])
    bins = Calibration.of(predicted, true).bins
    assert [b.masks for b in bins] == [3, 1, 0, 0, 0, 0, 0, 0, 0, 3]
    assert bins[0].true == pytest.approx(0.1) and bins[9].true == pytest.approx(0.9)
    assert bins[9].predicted == pytest.approx((0.95 + 1.0 + 1.2) / 3)
    assert bins[4].true is None and bins[4].predicted is None
    assert (bins[3].low, bins[3].high) == (0.3, 0.4)


@pytest.mark.parametrize("constant", ["predicted", "true"])
def test_constant_values_have_no_correlation(constant):
    given = {"predicted": np.linspace(0, 1, 5), "true": np.linspace(0, 1, 5)}
    given[constant] = np.full(5, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Calibration.of(**given)
    assert (found.pearson, found.spearman) == (None, None)
