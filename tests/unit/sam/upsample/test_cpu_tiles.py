"""Bounds and values of tiles compared with the reference's interpolation."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from segment_anything.modeling import Sam

from samseg.sam.network.encoder import Geometry
from samseg.sam.upsample.cpu_tiles import TILE
from samseg.sam.upsample.upsampler import Upsampler

THRESHOLDS = (-1.0, 0.0, 1.0)
SIZES = [(70, 100), (1, 40), (5, 7), (534, 800), (1100, 900), (1, 9000)]


def tiles_of(size):
    return Upsampler(Geometry.of(size, 1024), 256, 1024, torch.device("cpu"))._tiles


def interpolated(tiny: Sam, logits, size):
    """The reference's (m, h, w) values."""
    geometry = Geometry.of(size, 1024)
    full = tiny.postprocess_masks(torch.from_numpy(logits)[None], geometry.input_size, size)
    return full[0].numpy()


def noise(m, blur):
    """(m, 256, 256) float32 logits, with blobs of about `blur` logits."""
    rough = np.random.default_rng(0).normal(0, 1, (m, 256, 256))
    smooth = ndimage.gaussian_filter(rough, (0, blur, blur)) if blur else rough
    return (2 * smooth / smooth.std()).astype(np.float32)


@pytest.fixture(scope="module", params=[0, 12], ids=["noise", "blobs"])
def logits(request):
    return noise(2, request.param)


@pytest.mark.parametrize("size", SIZES)
def test_areas_are_within_their_bounds(tiny, logits, size):
    tiles, full = tiles_of(size), interpolated(tiny, logits, size)
    levels = tiles.levels(logits, THRESHOLDS)
    for level, threshold in enumerate(THRESHOLDS, start=1):
        area = (full > threshold).sum(axis=(1, 2))
        assert (tiles.area_lower_bound(levels, level) <= area).all()
        assert (tiles.area_upper_bound(levels, level) >= area).all()
    everything, nothing = np.full_like(levels, 3), np.zeros_like(levels)
    assert (tiles.area_lower_bound(everything, 3) == size[0] * size[1]).all()
    assert (tiles.area_upper_bound(nothing, 1) == 0).all()


@pytest.mark.parametrize("size", SIZES)
def test_bounds_include_all_px_that_a_single_logit_affects(tiny, size):
    """Bounds are valid for isolated logits, and still tight enough to be useful."""
    logits = np.full((2, 256, 256), -0.5, np.float32)
    logits[0, 3::8, 5::8] = 1e4
    logits[1] = -logits[0]
    tiles, full = tiles_of(size), interpolated(tiny, logits, size)
    levels = tiles.levels(logits, THRESHOLDS)
    assert tiles.area_upper_bound(levels, 2)[0] >= (full[0] > 0).sum()
    assert tiles.area_lower_bound(levels, 2)[1] <= (full[1] > 0).sum()
    assert tiles.area_upper_bound(levels, 2)[0] <= 0.5 * full[0].size


@pytest.mark.parametrize("size", SIZES)
def test_tiles_cover_the_image(tiny, logits, size):
    """All tiles, crossed by a threshold or not, have the reference's values and levels."""
    tiles, full = tiles_of(size), interpolated(tiny, logits, size)
    levels = tiles.levels(logits, THRESHOLDS)
    lowest, highest = tiles.lowest(levels), tiles.highest(levels)
    mask, row, column = np.nonzero(np.ones_like(lowest))
    rebuilt = np.full((len(full), *(TILE * n for n in lowest.shape[1:])), np.nan, np.float32)
    for part, values in tiles.pixels(logits, mask, row, column):
        for m, r, c, tile in zip(mask[part], row[part], column[part], values, strict=True):
            rebuilt[m, r * TILE :, c * TILE :][:TILE, :TILE] = tile.T
    h, w = size
    # interpolation positions are up to 1024, where float32 has a resolution of 6e-5
    np.testing.assert_allclose(rebuilt[:, :h, :w], full, atol=1e-4)
    assert np.isnan(rebuilt[:, h:]).all()
    assert np.isnan(rebuilt[:, :, w:]).all()
    px = np.searchsorted(THRESHOLDS, full, side="left")
    spread = [np.kron(x, np.ones((TILE, TILE), np.uint8))[:, :h, :w] for x in (lowest, highest)]
    assert (spread[0] <= px).all()
    assert (px <= spread[1]).all()
    assert (spread[0] < spread[1]).any()


@pytest.mark.parametrize("size", [(534, 800), (1500, 900)])
def test_most_tiles_of_blobs_need_no_interpolation(size):
    tiles = tiles_of(size)
    levels = tiles.levels(noise(5, 24), THRESHOLDS)
    assert (tiles.lowest(levels) == tiles.highest(levels)).mean() > 0.5


def test_part_of_the_tiles_has_the_same_pixels(logits):
    tiles = tiles_of((534, 800))
    rows, columns = (3, 9), (5, 6)
    part = tiles.part(rows, columns)
    near = logits[:, tiles.rows.logits_of(*rows), tiles.columns.logits_of(*columns)]
    mask, row, column = np.nonzero(np.ones((len(logits), 6, 1), dtype=bool))
    wanted = [v for _, v in tiles.pixels(logits, mask, row + 3, column + 5)]
    got = [v for _, v in part.pixels(near, mask, row, column)]
    np.testing.assert_array_equal(np.concatenate(got), np.concatenate(wanted))
    levels = tiles.levels(logits, THRESHOLDS)
    lowest = part.lowest(part.levels(near, THRESHOLDS))
    np.testing.assert_array_equal(lowest, tiles.lowest(levels)[:, 3:9, 5:6])
