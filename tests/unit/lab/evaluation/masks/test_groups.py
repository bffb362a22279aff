"""Groups of segments and their bootstrap intervals."""

import numpy as np
import pytest

from samseg.lab.evaluation.masks.groups import SegmentScores, mean_by_photo


def scores(n, **given):
    rng = np.random.default_rng(0)
    made = {
        "photos": np.arange(n) // 3,
        "areas": np.full(n, 0.1),
        "things": np.full(n, np.nan),
        "true_iou": rng.random((n, 3)),
        "predicted_iou": rng.random((n, 3)),
        "stability": rng.random((n, 3)),
        "boundary": rng.random(n),
    }
    return SegmentScores(**(made | given))


def test_rules_of_choice():
    found = scores(
        1,
        true_iou=np.array([[0.1, 0.2, 0.9]]),
        predicted_iou=np.array([[0.6, 0.5, 0.4]]),
        stability=np.array([[0.1, 0.9, 0.95]]),
    ).groups()[0]
    assert found.best.value == 0.9
    assert found.preferred.value == 0.1
    assert found.most_stable.value == 0.9
    assert found.by_product.value == 0.2


def test_members():
    areas = np.array([0.002, 0.01, 0.05, 0.2, 0.9, 0.04])
    things = np.array([1, 1, 0, np.nan, 0, 1])
    found = {g.name: g.segments for g in scores(6, areas=areas, things=things).groups()}
    assert found == {
        "all": 6, "things": 3, "stuff": 2,
        "under 1 %": 1, "1 to 5 %": 2, "5 to 20 %": 1, "over 20 %": 2,
    }  # fmt: skip
    assert [g.name for g in scores(4).groups()] == ["all", "5 to 20 %"]


def test_the_interval_is_that_of_photos_not_of_segments():
    """Segments of one photo are equal, so 40 of them tell as much as one."""
    rng = np.random.default_rng(3)
    of_photos = rng.random(25)
    one = mean_by_photo(of_photos, np.arange(25), seed=0)
    many = mean_by_photo(of_photos.repeat(40), np.arange(25).repeat(40), seed=0)
    assert one.value == pytest.approx(many.value)
    assert (many.low, many.high) == pytest.approx((one.low, one.high))
    expected = 1.96 * of_photos.std() / 5
    assert many.high - many.low == pytest.approx(2 * expected, rel=0.15)
    assert one.low < one.value < one.high
