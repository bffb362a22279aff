"""Patch coverage compared with direct computations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samseg.pooling.grid import GRID, PATCH, patch_borders, patch_coverage, sam_grid
from samseg.types import PatchGrid


def cover(masks):
    return patch_coverage(masks, sam_grid(masks.shape[1:]))


def _overlaps(length, borders):
    """(64, length): the fraction of each pixel [i, i + 1) that lies in each patch."""
    low, high = borders[:-1, None], borders[1:, None]
    pixel = np.arange(length)[None]
    return np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)


def _naive(mask):
    h, w = mask.shape
    scale = 1024 / max(h, w)
    frame_h, frame_w = max(1, int(h * scale + 0.5)), max(1, int(w * scale + 0.5))
    down = _overlaps(h, np.arange(65) * 16 * h / frame_h)
    across = _overlaps(w, np.arange(65) * 16 * w / frame_w)
    frame_px = (frame_h / h) * (frame_w / w)
    return down @ mask.astype(float) @ across.T * frame_px / 256


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1), st.floats(0.02, 0.98))
def test_equals_the_direct_sum(h, w, seed, density):
    mask = np.random.default_rng(seed).random((h, w)) < density
    np.testing.assert_allclose(cover(mask[None])[0], _naive(mask), atol=2e-6)


@pytest.mark.parametrize(
    "size", [(1024, 1024), (480, 640), (333, 517), (1, 1), (1, 9000), (9000, 1), (2000, 3000)]
)
def test_full_mask_covers_the_image_and_not_the_padding(size):
    h, w = size
    covered = cover(np.ones((1, h, w), dtype=bool))[0]
    np.testing.assert_allclose(covered, _naive(np.ones((h, w))), atol=2e-6)
    scale = 1024 / max(h, w)
    frame_h, frame_w = max(1, int(h * scale + 0.5)), max(1, int(w * scale + 0.5))
    assert covered.sum() == pytest.approx(frame_h * frame_w / 256, rel=1e-5)
    assert not covered[-(-frame_h // PATCH) :].any()
    assert not covered[:, -(-frame_w // PATCH) :].any()


def test_counts_pixels_of_an_image_of_the_frame_s_size():
    rng = np.random.default_rng(1)
    mask = rng.random((1024, 1024)) < 0.3
    counts = mask.reshape(GRID, PATCH, GRID, PATCH).sum(axis=(1, 3))
    np.testing.assert_array_equal(cover(mask[None])[0] * 256, counts)


def test_masks_at_all_edges_and_an_empty_mask():
    masks = np.zeros((6, 37, 53), dtype=bool)
    masks[1, 0, :] = masks[2, -1, :] = masks[3, :, 0] = masks[4, :, -1] = True
    masks[5, 0, 0] = masks[5, -1, -1] = True
    for got, mask in zip(cover(masks), masks, strict=True):
        np.testing.assert_allclose(got, _naive(mask), atol=2e-6)


def test_no_masks():
    assert cover(np.zeros((0, 5, 5), dtype=bool)).shape == (0, GRID, GRID)


def test_borders_end_where_the_image_does():
    borders = patch_borders(sam_grid((100, 200)))
    assert (len(borders.rows), borders.rows[-1]) == (33, 100)
    assert (len(borders.columns), borders.columns[-1]) == (65, 200)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_many_masks_are_covered_as_each_alone(h, w, seed, n):
    """Random densities, from empty to full; patches without a mask have exactly no coverage."""
    rng = np.random.default_rng(seed)
    masks = rng.random((n, h, w)) < rng.choice([0, 0.01, 0.5, 1], n)[:, None, None]
    together = cover(masks)
    np.testing.assert_array_equal(together, [cover(one[None])[0] for one in masks])
    assert (together >= 0).all() and (together <= 1).all()
    np.testing.assert_array_equal(together[0] > 1e-9, _naive(masks[0]) > 1e-9)


def test_another_network_s_grid_has_its_own_stride_and_padding():
    mask = np.zeros((1, 60, 80), dtype=bool)
    mask[0, :9, 20:40] = True
    grid = PatchGrid((60, 80), (120, 160), 32, (4, 5))  # 2 px of input per px of the image
    covered = patch_coverage(mask, grid)[0]
    wanted = np.zeros((4, 5))
    wanted[0, 1:3] = 18 / 32 * np.array([24, 16]) / 32
    np.testing.assert_allclose(covered, wanted, atol=1e-6)
