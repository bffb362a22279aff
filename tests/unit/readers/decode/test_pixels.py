"""Conversion of sample formats: 16-bit, float and constant images, copies of every size."""

import numpy as np
import pytest
from PIL import Image as Pillow

from samseg.readers.decode.pixels import to_array, to_rgb

WHITE = (255, 255, 255)


def grey_of(values, deep):
    """Convert an array of grey samples, and return one channel."""
    rgb, _ = to_rgb(Pillow.fromarray(values), deep, WHITE, "full")
    channels = np.asarray(rgb)
    assert (channels == channels[..., :1]).all()
    return channels[..., 0]


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (64, 3), (65, 7), (300, 1), (200, 90)])
def test_copies_every_row(size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    copied = to_array(Pillow.fromarray(pixels))
    np.testing.assert_array_equal(copied, pixels)
    assert copied.flags.c_contiguous and copied.flags.writeable


def test_16_bits_are_scaled_not_clipped():
    every = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(grey_of(every, deep=True), np.rint(every / 257.0))


def test_float_is_scaled_from_minimum_to_maximum_and_non_finite_is_black():
    values = np.linspace(-3.5, 1000.0, 48 * 64).reshape(48, 64).astype(np.float32)
    expected = np.rint(255 * (values.astype(float) + 3.5) / 1003.5)
    values[0, 5], values[0, 6], values[0, 7] = np.nan, np.inf, -np.inf
    expected[0, 5:8] = 0
    grey = grey_of(values, deep=False)
    np.testing.assert_allclose(grey, expected, atol=1)
    assert grey.min() == 0 and grey.max() == 255


@pytest.mark.parametrize("value", [0.0, 7.5, np.nan, np.inf])
def test_constant_float_is_black(value):
    assert not grey_of(np.full((4, 5), value, dtype=np.float32), deep=False).any()


def test_the_full_range_of_float32_does_not_overflow():
    top = np.finfo(np.float32).max
    grey = grey_of(np.array([[-top, 0, top]], dtype=np.float32), deep=False)
    np.testing.assert_allclose(grey, [[0, 128, 255]], atol=1)


def test_percentiles_stretch_16_bits():
    values = np.arange(1000, 2000, dtype=np.uint16).reshape(25, 40)
    values[0, :3] = 65535
    rgb, notes = to_rgb(Pillow.fromarray(values), True, WHITE, "percentile")
    low, high = np.percentile(values, (2, 98))
    expected = np.rint(((values - low) * 255 / (high - low)).clip(0, 255))
    np.testing.assert_array_equal(np.asarray(rgb)[..., 1], expected)
    assert notes == ("percentile",)
