"""Measured and rasterised masks compared with the reference at full resolution."""

import tracemalloc

import numpy as np
import pytest
import torch
from segment_anything.utils.amg import batched_mask_to_box, calculate_stability_score

from samseg.sam.network.decoder import visible_positions
from samseg.sam.network.encoder import Geometry
from samseg.sam.upsample.gpu_taps import Taps
from samseg.sam.upsample.upsampler import Upsampler, _weights


def smooth_logits(m: int) -> torch.Tensor:
    """(m, 256, 256) logits of blobs of several sizes."""
    generator = torch.Generator().manual_seed(4)
    coarse = (
        torch.randn(m, 1, 12, 12, generator=generator)
        - torch.linspace(-1, 2.5, m)[:, None, None, None]
    )
    return torch.nn.functional.interpolate(coarse, 256, mode="bicubic")[:, 0] * 4


SIZES = {
    "landscape": (70, 100),
    "portrait": (100, 70),
    "a photo": (534, 800),
    "the input's": (1024, 1024),
    "larger": (1500, 900),
    "one px": (1, 1),
    "a few px": (5, 7),
    "a line": (1, 9000),
    "a column": (9000, 1),
    "a thin column": (900, 3),
}


def reference(tiny, logits, size):
    """The reference's (m, h, w) values, stability, areas and boxes."""
    full = tiny.postprocess_masks(logits[None], Geometry.of(size, 1024).input_size, size)[0]
    return (
        full,
        calculate_stability_score(full, 0.0, 1.0).numpy(),
        (full > 0).sum(dim=(1, 2)).numpy(),
        batched_mask_to_box(full > 0).numpy(),
    )


def upsampler_of(size):
    return Upsampler(Geometry.of(size, 1024), 256, 1024, torch.device("cpu"))


def as_on_a_gpu(upsampler):
    """Compute all pixels, with the same code as on a GPU."""
    upsampler._taps = tuple(
        Taps.of(_weights(256, 1024, n, into))
        for n, into in zip(
            Geometry.of(upsampler.size, 1024).input_size, upsampler.size, strict=True
        )
    )


def drawn(upsampler, cutouts):
    """(m, h, w) bool."""
    h, w = upsampler.size
    masks = np.zeros((len(cutouts), w * h + 1), dtype=bool)
    flips = upsampler.draw(cutouts, 0.0, (0, 0), h)
    for i, mask in enumerate(masks):
        mask[flips[i]] = True
    inside = np.logical_xor.accumulate(masks, axis=1)[:, :-1]
    return inside.reshape(-1, w, h).transpose(0, 2, 1)


def cut(upsampler, logits):
    return upsampler.cut(logits, upsampler.measure(logits, 0.0, 1.0))


def check(got, wanted, size):
    """Rounding may flip one px in 100 000, and at least one."""
    _, stability, areas, boxes = wanted
    px = size[0] * size[1]
    np.testing.assert_allclose(got.stability, stability, atol=2e-5 if px > 1e4 else 1e-3)
    np.testing.assert_allclose(got.areas, areas, atol=max(1, 1e-5 * px))
    np.testing.assert_allclose(got.boxes, boxes, atol=1)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("many", [False, True], ids=["tile by tile", "all at once"])
def test_stability_areas_and_boxes(tiny, size, many):
    logits, upsampler = smooth_logits(7), upsampler_of(size)
    if many:
        as_on_a_gpu(upsampler)
    check(upsampler.measure(logits, 0.0, 1.0), reference(tiny, logits, size), size)
    h, w = (4 * visible_positions(n, 64, 1024) for n in Geometry.of(size, 1024).input_size)
    without_padding = logits[:, :h, :w].contiguous()
    check(upsampler.measure(without_padding, 0.0, 1.0), reference(tiny, logits, size), size)
    np.testing.assert_array_equal(
        *(drawn(upsampler, cut(upsampler, given)) for given in (without_padding, logits))
    )


@pytest.mark.parametrize("enlarged", [0.5, 1, 3])
def test_padding_determines_no_pixel(enlarged):
    """For all sizes in the input: no logit of an omitted patch has a weight."""
    for size in range(1, 1025):
        weights = _weights(256, 1024, size, max(1, round(enlarged * size)))
        read = int((weights > 0).any(dim=0).nonzero()[-1]) + 1
        positions = visible_positions(size, 64, 1024)
        assert read <= 4 * positions, size
        assert read > 4 * positions - 8, size  # fewer than two patches are unused


def test_twelve_megapixels(tiny):
    size, logits = (3000, 4000), smooth_logits(5)[1:4]
    wanted = reference(tiny, logits, size)
    upsampler = upsampler_of(size)
    check(upsampler.measure(logits, 0.0, 1.0), wanted, size)
    for found, full in zip(drawn(upsampler, cut(upsampler, logits)), wanted[0], strict=True):
        assert (found != (full > 0).numpy()).mean() < 2e-6


def test_memory_is_a_fraction_of_one_mask():
    size, logits = (3000, 4000), smooth_logits(3)
    upsampler = upsampler_of(size)
    tracemalloc.start()
    upsampler.measure(logits, 0.0, 1.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size[0] * size[1]  # bytes; the pixels of one mask take four times as much


@pytest.mark.parametrize("size", [(534, 800), (1, 1500), (5, 7)])
@pytest.mark.parametrize("at_least", [0.3, 0.8, 0.95])
def test_masks_reaching_the_limit_are_measured_exactly(size, at_least):
    logits, upsampler = smooth_logits(9), upsampler_of(size)
    everything = upsampler.measure(logits, 0.0, 1.0)
    got = upsampler.measure(logits, 0.0, 1.0, at_least)
    stable = everything.stability >= at_least
    np.testing.assert_array_equal(got.stability >= at_least, stable)
    for column in ("stability", "areas", "boxes"):
        np.testing.assert_array_equal(
            getattr(got, column)[stable], getattr(everything, column)[stable]
        )


def test_masks_bounded_below_the_limit_are_not_measured():
    size = (534, 800)
    logits = torch.full((2, 256, 256), 0.5)  # above -1 everywhere, above 1 nowhere
    logits[1] = 2.0
    got = upsampler_of(size).measure(logits, 0.0, 1.0, at_least=0.1)
    assert got.areas.tolist() == [0, 534 * 800]
    assert got.stability.tolist() == [0.0, 1.0]
    assert got.boxes.tolist() == [[0, 0, 0, 0], [0, 0, 799, 533]]


def test_masks_are_measured_independently_of_the_batch():
    logits, upsampler = smooth_logits(15), upsampler_of((300, 400))
    together = upsampler.measure(logits, 0.0, 1.0)
    alone = [upsampler.measure(logits[i : i + 1], 0.0, 1.0) for i in range(15)]
    np.testing.assert_array_equal(together.areas, np.concatenate([x.areas for x in alone]))
    np.testing.assert_array_equal(together.boxes, np.concatenate([x.boxes for x in alone]))
    stability = np.concatenate([x.stability for x in alone])
    np.testing.assert_array_equal(together.stability, stability)


def test_no_masks():
    got = upsampler_of((70, 100)).measure(torch.zeros(0, 256, 256), 0.0, 1.0, 0.5)
    assert (got.stability.shape, got.areas.shape, got.boxes.shape) == ((0,), (0,), (0, 4))
    assert cut(upsampler_of((70, 100)), torch.zeros(0, 256, 256)) == []


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("many", [False, True], ids=["tile by tile", "all at once"])
def test_rasterised_masks_are_the_reference_s(tiny, size, many):
    logits, upsampler = smooth_logits(7), upsampler_of(size)
    logits[3] = -1  # an empty mask between others
    if many:
        as_on_a_gpu(upsampler)
    full = reference(tiny, logits, size)[0] > 0
    measured = upsampler.measure(logits, 0.0, 1.0)
    found = drawn(upsampler, cut(upsampler, logits))
    assert ((found != full.numpy()).sum(axis=(1, 2)) <= max(1, 2e-5 * full[0].numel())).all()
    if many:
        np.testing.assert_array_equal(found.sum(axis=(1, 2)), measured.areas)
    else:
        np.testing.assert_allclose(
            found.sum(axis=(1, 2)), measured.areas, atol=max(1, 1e-5 * full[0].numel())
        )


@pytest.mark.parametrize(("corner", "height"), [((7, 4), 90), ((7, 0), 90), ((7, 0), 60)])
def test_masks_drawn_in_a_crop_are_those_of_windows(monkeypatch, corner, height):
    """Runs that reach the bottom of a crop end there, unless it is the bottom of the image."""
    logits, upsampler = smooth_logits(9), upsampler_of((60, 80))
    logits[2:4] = torch.tensor([9.0, -9.0])[:, None, None]
    tile_by_tile = upsampler.draw(cut(upsampler, logits), 0.0, corner, height)
    as_on_a_gpu(upsampler)
    monkeypatch.setattr("samseg.sam.upsample.upsampler._GPU_PIXELS", 2 * 60 * 80)
    together = upsampler.draw(cut(upsampler, logits), 0.0, corner, height)
    np.testing.assert_array_equal(together.positions, tile_by_tile.positions)
    np.testing.assert_array_equal(together.starts, tile_by_tile.starts)


def test_logits_in_the_padding_have_no_effect():
    logits = torch.full((1, 256, 256), -9.0)
    logits[0, 200:] = 9.0
    upsampler = upsampler_of((100, 400))
    measured = upsampler.measure(logits, 0.0, 1.0)
    assert measured.areas.tolist() == [0]
    assert measured.boxes.tolist() == [[0, 0, 0, 0]]
    assert np.isnan(measured.stability).all()
    assert cut(upsampler, logits) == [None]
