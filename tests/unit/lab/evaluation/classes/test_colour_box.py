import numpy as np
import pytest

from samseg.lab.evaluation.classes.colour_box import colour_box, standardised
from samseg.lab.evaluation.classes.truth import encoded


def test_known_numbers():
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, :4] = 255
    mask = np.zeros((10, 20), np.bool_)
    mask[2:4, 0:8] = True
    mask[2, 7] = False
    white, all_black = colour_box(pixels, [encoded(mask), encoded(np.zeros_like(mask))])
    share = 8 / 15
    np.testing.assert_allclose(white[:3], [100 * share, 0, 0], atol=0.02)
    np.testing.assert_allclose(
        white[3:6], [100 * np.sqrt(share * (1 - share)), 0, 0], rtol=1e-3, atol=0.02
    )
    np.testing.assert_allclose(white[6:10], [0.2, 0.3, 0.4, 0.2], rtol=1e-6)
    assert white[10:].tolist() == pytest.approx([np.log(15 / 200), np.log(4), 15 / 16])
    assert not all_black.any()  # no pixels


def test_standardised_columns():
    numbers = np.random.default_rng(0).normal(3, 5, (50, 13)).astype(np.float32)
    numbers[:, 4] = 2  # constant
    found = standardised(numbers)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.delete(found.std(axis=0), 4), 1, rtol=1e-5)
