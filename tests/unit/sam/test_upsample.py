"""From logits to measured and drawn masks, against the reference at full resolution."""

import numpy as np
import pytest
import torch
from segment_anything.utils.amg import batched_mask_to_box, calculate_stability_score

from samseg.sam.encoder import Geometry
from samseg.sam.upsample import Upsampler


def smooth_logits(m: int) -> torch.Tensor:
    """Blobs of several sizes, (m, 256, 256)."""
    generator = torch.Generator().manual_seed(4)
    coarse = (
        torch.randn(m, 1, 12, 12, generator=generator)
        - torch.linspace(-1, 2.5, m)[:, None, None, None]
    )
    return torch.nn.functional.interpolate(coarse, 256, mode="bicubic")[:, 0] * 4


@pytest.mark.parametrize(
    "size", [(70, 100), (100, 70), (1024, 1024), (1500, 900), (1, 1), (1, 1500), (900, 3)]
)
@pytest.mark.parametrize("many", [False, True], ids=["window by window", "all at once"])
def test_stability_areas_and_boxes(tiny, size, many):
    geometry = Geometry.of(size, 1024)
    logits = smooth_logits(9)
    full = tiny.postprocess_masks(logits[None], geometry.input_size, size)[0]
    stability = calculate_stability_score(full, 0.0, 1.0)

    upsampler = Upsampler(geometry, 256, 1024, torch.device("cpu"))
    if many:  # what a GPU runs
        counts, boxes = upsampler._measure_many(logits, (1.0, 0.0, -1.0))
        with np.errstate(invalid="ignore"):
            got, areas = counts[:, 0] / counts[:, 2], counts[:, 1]
    else:
        measured = upsampler.measure(logits, 0.0, 1.0)
        got, areas, boxes = measured.stability, measured.areas, measured.boxes
    px = size[0] * size[1]
    np.testing.assert_allclose(got, stability, atol=2e-5 if px > 1e4 else 1e-3)
    np.testing.assert_allclose(areas, (full > 0).sum(dim=(1, 2)), atol=max(1, 1e-5 * px))
    np.testing.assert_allclose(boxes, batched_mask_to_box(full > 0), atol=1)


def test_drawn_masks_are_the_reference_s(tiny):
    size = (300, 450)
    geometry = Geometry.of(size, 1024)
    logits = smooth_logits(9)
    full = tiny.postprocess_masks(logits[None], geometry.input_size, size)[0] > 0
    upsampler = Upsampler(geometry, 256, 1024, torch.device("cpu"))
    for cutout, wanted in zip(upsampler.cut(logits, 0.0), full.numpy(), strict=True):
        canvas = np.zeros(size, dtype=np.uint8)
        upsampler.draw(cutout, 0.0, canvas)
        assert (canvas != wanted).mean() < 2e-5


def test_logits_in_the_padding_touch_no_pixel():
    geometry = Geometry.of((100, 400), 1024)
    logits = torch.full((1, 256, 256), -9.0)
    logits[0, 200:] = 9.0
    upsampler = Upsampler(geometry, 256, 1024, torch.device("cpu"))
    measured = upsampler.measure(logits, 0.0, 1.0)
    assert measured.areas.tolist() == [0]
    assert measured.boxes.tolist() == [[0, 0, 0, 0]]
    assert np.isnan(measured.stability).all()
    assert upsampler.cut(logits, 0.0) == [None]
