import numpy as np
import pytest

from samseg.clustering.means import class_means
from samseg.clustering.transform import unit


def members(n: int, seed: int = 0, d: int = 64) -> np.ndarray:
    g = np.random.default_rng(seed)
    center = np.random.default_rng(99).standard_normal(d)
    return unit(center + g.standard_normal((n, d)))[0]


def test_a_class_is_its_mean_direction():
    rows, labels = members(50), np.repeat([0, 1, -1], [20, 20, 10])
    vectors, radii = class_means(rows, labels, np.ones(50))
    assert vectors[1] == pytest.approx(unit(rows[20:40].sum(axis=0)[None])[0][0], abs=1e-6)
    assert (radii == radii.astype(np.float32)).all()


@pytest.mark.parametrize("n", [5, 20, 500])
def test_a_radius_covers_new_masks_of_the_class_however_small_it_is(n):
    """A small class is nearer to its mean than new masks are: the members pull it."""
    rows, new = members(n), members(2000, seed=1)
    (vector,), (radius,) = class_means(rows, np.zeros(n, int), np.ones(n))
    assert np.mean(1 - new @ vector <= radius) > 0.75
    assert np.mean(1 - rows @ vector <= radius) > 0.98


def test_one_member_in_a_hundred_does_not_count():
    rows = np.concatenate([members(400), -members(3)])
    (_,), (radius,) = class_means(rows, np.zeros(403, int), np.ones(403))
    assert radius < 1
    weights = np.where(np.arange(403) < 400, 1.0, 5.0)
    assert class_means(rows, np.zeros(403, int), weights)[1][0] > 1


def test_equal_masks_are_within_the_radius_of_their_class():
    rows = members(1).repeat(9, axis=0)
    (vector,), (radius,) = class_means(rows, np.zeros(9, int), np.ones(9))
    assert 1 - rows[0].astype(float) @ vector.astype(float) <= radius < 1e-5


def test_no_class_has_no_mean():
    vectors, radii = class_means(members(3), np.full(3, -1), np.ones(3))
    assert vectors.shape == (0, 64)
    assert len(radii) == 0
