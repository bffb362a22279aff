"""Scales to 8 bits, measured spans, and compositing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from samseg.readers.decode.samples import Scale, flattened, measured_span, span_of_type

TYPES = st.sampled_from([*map(np.dtype, ("u1", "u2", "u4", "u8", "i1", "i8", "f2", "f4", "f8"))])
ANY = TYPES.flatmap(lambda t: npst.arrays(t, npst.array_shapes(max_dims=3, max_side=9)))


@given(ANY, st.data())
def test_scales_are_monotonic_and_reach_both_ends(samples, data):
    finite = samples[np.isfinite(samples)].astype(np.float64)
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    scaled = Scale(low, high)(samples)
    assert scaled.dtype == np.uint8 and scaled.shape == samples.shape
    assert not scaled[~np.isfinite(samples)].any()
    if low < high:
        known = scaled[np.isfinite(samples)].astype(int)
        assert known.min() == 0 and known.max() == 255
        assert (np.diff(known[np.argsort(finite, kind="stable")]) >= 0).all()
        inverted = Scale(high, low)(samples)[np.isfinite(samples)].astype(int)
        assert (abs(255 - inverted - known) <= 1).all()


@pytest.mark.parametrize("bits", range(1, 17))
def test_every_unsigned_value_is_rounded_to_the_nearest(bits):
    top = (1 << bits) - 1
    values = np.arange(top + 1, dtype=np.uint16 if bits > 8 else np.uint8)
    exact = [(2 * 255 * int(v) + top) // (2 * top) for v in values]
    found = Scale(*span_of_type("u", bits))(values)
    ties = [(2 * 255 * int(v)) % (2 * top) == top for v in values]
    assert all(
        int(f) == e or (tie and int(f) == e - 1)
        for f, e, tie in zip(found, exact, ties, strict=True)
    )


@pytest.mark.parametrize("dtype", ["u2", "i2", "f4", "f8"])
def test_nodata_is_left_out_and_becomes_black(dtype):
    samples = np.array([[[100], [110], [120], [30000]]], dtype=dtype)
    span = measured_span(samples, "full", 30000.0)
    assert span == (100, 120)
    assert Scale(*span, 30000.0)(samples).ravel().tolist() == [0, 128, 255, 0]


def test_nodata_is_compared_in_the_type_of_the_samples():
    lowest = float(np.finfo(np.float32).min)
    samples = np.array([[[lowest], [1.0], [3.0]]], dtype=np.float32)
    assert measured_span(samples, "full", float(f"{lowest:.12g}")) == (1, 3)


def test_percentiles_ignore_a_few_extremes():
    samples = np.concatenate([np.linspace(10, 20, 1000), [1e9] * 10, [-1e9] * 10, [np.nan]])
    low, high = measured_span(samples.reshape(1, -1, 1).astype(np.float32), "percentile")
    assert 9 < low < 12 and 18 < high < 21


def test_percentiles_that_are_equal_give_way_to_the_extremes():
    samples = np.zeros((10, 100, 1), np.uint16)
    samples[0, :5] = 700
    assert measured_span(samples, "percentile") == (0, 700)


@pytest.mark.parametrize("range_", ["full", "percentile"])
def test_nothing_finite_spans_nothing(range_):
    assert measured_span(np.full((2, 2, 1), np.nan), range_) == (0, 0)


@pytest.mark.parametrize("associated", [False, True])
def test_compositing_is_exact(associated):
    alpha, value = np.mgrid[:256, :256].astype(np.uint8)
    value = np.minimum(value, alpha) if associated else value
    found = flattened(np.repeat(value[..., None], 3, 2), alpha, (255, 7, 0), associated)
    a, v = alpha.astype(int), value.astype(int)
    for channel, behind in enumerate((255, 7, 0)):
        front = 255 * v if associated else v * a
        exact = (2 * (front + behind * (255 - a)) + 255) // 510
        np.testing.assert_array_equal(found[..., channel], exact)
