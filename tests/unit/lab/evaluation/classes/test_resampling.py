import numpy as np
import pytest

from samseg.lab.evaluation.classes.record import ClassProtocol
from samseg.lab.evaluation.classes.resampling import interval, parts


def test_the_interval_of_a_mean_is_the_textbook_one():
    values = np.random.default_rng(0).normal(size=200)
    found = interval(200, lambda rows: float(values[rows].mean()), ClassProtocol(resamples=2000))
    error = 1.96 * values.std() / np.sqrt(200)
    assert (found.low + found.high) / 2 == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(error, rel=0.1)


def test_no_resamples_no_interval():
    assert interval(3, lambda rows: 1.0, ClassProtocol(resamples=0)) is None


@pytest.mark.parametrize(("photos", "share", "inside"), [(10, 0.7, 7), (2, 0.9, 1), (3, 0.01, 1)])
def test_parts_leave_photos_on_both_sides(photos, share, inside):
    protocol = ClassProtocol(share=share, draws=4)
    found = list(parts(photos, protocol))
    assert [chosen.sum() for chosen in found] == [inside] * 4
    np.testing.assert_array_equal(found, list(parts(photos, protocol)))
    if photos == 10:
        assert len({chosen.tobytes() for chosen in found}) > 1
