"""Rasterising, encoding and cleaning masks, compared with the reference on whole images."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.utils.amg import (
    MaskData,
    batched_mask_to_box,
    mask_to_rle_pytorch,
    uncrop_masks,
)

from samseg.sam.automatic.candidates import Candidates, to_masks, without_small_regions
from samseg.sam.network.encoder import Geometry
from samseg.sam.upsample.upsampler import Upsampler
from samseg.types import Masks


def encoded(dense):
    """COCO RLEs of (n, h, w) bool."""
    return tuple(coco.encode(np.asfortranarray(one, dtype=np.uint8)) for one in dense)


# --------------------------------------------------------------------------- drawing


def blobs(m):
    """(m, 256, 256) logits of blobs of several sizes, one of them empty."""
    coarse = torch.randn(m, 1, 9, 9, generator=torch.Generator().manual_seed(1))
    coarse -= torch.linspace(-1, 1.5, m)[:, None, None, None]
    coarse[0] = -1.0
    return torch.nn.functional.interpolate(coarse, 256, mode="bicubic")[:, 0] * 4


@pytest.mark.parametrize("size", [(90, 130), (300, 210)])
def test_masks_of_crops_are_placed_in_the_image(tiny, size):
    h, w = size
    crops = [(0, 0, w, h), (w // 3, 0, w, h // 2), (5, h // 4, w // 2, h), (1, 1, 2, h - 1)]
    parts, wanted = [], []
    for x0, y0, x1, y1 in crops:
        inside = (y1 - y0, x1 - x0)
        geometry, logits = Geometry.of(inside, 1024), blobs(4)
        upsampler = Upsampler(geometry, 256, 1024, torch.device("cpu"))
        full = tiny.postprocess_masks(logits[None], geometry.input_size, inside)[0] > 0
        wanted.append(uncrop_masks(full, [x0, y0, x1, y1], h, w).numpy())
        cutouts = upsampler.cut(logits, upsampler.measure(logits, 0.0, 1.0))
        candidates = Candidates(
            boxes=np.zeros((4, 4), np.int64),
            areas=np.zeros(4, np.int64),
            predicted_iou=np.ones(4, np.float32),
            stability_score=np.ones(4, np.float32),
            points=np.zeros((4, 2), np.float32),
            crops=np.tile(np.array([x0, y0, x1, y1]), (4, 1)),
            prompt_ids=np.arange(4, dtype=np.int32),
            cutouts=tuple(cutouts),
        )
        parts.append(to_masks(candidates, upsampler, (x0, y0, x1, y1), size, 0.0, "grid"))
    masks = Masks.join(parts)
    dense, wanted = masks.to_dense(), np.concatenate(wanted)
    assert ((dense != wanted).sum(axis=(1, 2)) <= 1).all()  # rounding may flip a px
    assert masks.rles == encoded(dense)
    np.testing.assert_array_equal(masks.areas, dense.sum(axis=(1, 2)))
    np.testing.assert_array_equal(masks.boxes, batched_mask_to_box(torch.as_tensor(dense)))
    assert (masks.areas[::4] == 0).all()
    assert (masks.areas > 0).sum() >= 9


def test_no_candidates():
    upsampler = Upsampler(Geometry.of((30, 40), 1024), 256, 1024, torch.device("cpu"))
    masks = to_masks(Candidates.join([]), upsampler, (0, 0, 40, 30), (30, 40), 0.0, "grid")
    assert (len(masks), masks.boxes.shape, masks.areas.shape) == (0, (0, 4), (0,))


# --------------------------------------------------------------------------- small regions


def reference(masks, min_area, nms_threshold):
    """Positions, RLEs and boxes kept by the reference."""
    data = MaskData(
        rles=mask_to_rle_pytorch(torch.as_tensor(masks.to_dense())),
        boxes=torch.tensor(masks.boxes),  # a copy: the reference modifies it
        prompt_ids=torch.as_tensor(masks.prompt_ids),
    )
    SamAutomaticMaskGenerator.postprocess_small_regions(data, min_area, nms_threshold)
    return (
        data["prompt_ids"].tolist(),
        tuple(coco.frPyObjects(rle, *masks.size) for rle in data["rles"]),
        data["boxes"].numpy(),
    )


def check_cleaned(masks, min_area, nms_threshold=0.7):
    prompts, rles, boxes = reference(masks, min_area, nms_threshold)
    cleaned = without_small_regions(masks, min_area, nms_threshold)
    assert cleaned.prompt_ids.tolist() == prompts
    assert cleaned.rles == rles
    np.testing.assert_array_equal(cleaned.boxes, boxes)
    np.testing.assert_array_equal(cleaned.areas, [coco.area(rle) for rle in rles])


@settings(max_examples=100, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 2**32 - 1),
    filled=st.floats(0.02, 0.98),
    grain=st.integers(1, 6),
    min_area=st.sampled_from([1, 2, 7, 20, 60, 300, 3000]),
    margin=st.integers(0, 12),
)
def test_regions_are_the_reference_s(masks_of, size, seed, filled, grain, min_area, margin):
    """Random speckles of several grain sizes, over the whole image or inside a margin."""
    rng = np.random.default_rng(seed)
    h, w = size
    dense = np.zeros((4, h, w), dtype=bool)
    for one in dense:
        coarse = rng.random((h // grain + 1, w // grain + 1)) < filled
        speckled = np.kron(coarse, np.ones((grain, grain), bool))[:h, :w]
        inside = np.s_[min(margin, h - 1) :, min(margin, w - 1) : max(1, w - margin)]
        one[inside] = speckled[inside]
    check_cleaned(masks_of(dense), min_area)


def mask_from(text):
    return np.array([[c == "#" for c in line] for line in text.split()])


SHAPES = {
    "background cut off in a corner": "..##. .##.. ##... ##### .....",
    "background in two halves": "..... ##### ##### .....",
    "small half of the background": "..... ##### ..... ..... .....",
    "frame": "##### #...# #...# #####",
    "diagonal px are one island": "#.... .#... ..#.. ...#. ....#",
    "equal islands at even and odd positions": ".#..... ....... ......# ....... #......",
    "two equal islands in one row of blocks or in two": "..# #..",
    "two equal islands in one block": "....... ..#.... ....... .#..... ....... ....#..",
    "empty": "..... ..... .....",
    "full": "##### ##### #####",
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("min_area", [1, 2, 4, 6, 12, 1000])
@pytest.mark.parametrize("around", [(0, 0), (1, 0), (0, 1), (40, 40), (41, 43)])
def test_holes_at_the_borders_and_ties(masks_of, name, min_area, around):
    """The same shape at the image's borders, and surrounded by background."""
    one = np.pad(mask_from(SHAPES[name]), [(n, n) for n in around])
    check_cleaned(masks_of(np.stack([one, one[::-1], one[:, ::-1]])), min_area)


def test_duplicates_after_cleaning_are_suppressed(masks_of):
    """Two masks that differ by an island become equal; the unchanged one is kept."""
    dense = np.zeros((2, 30, 40), dtype=bool)
    dense[:, 5:15, 5:15] = True
    dense[0, 25, 35] = True
    masks = masks_of(dense)
    check_cleaned(masks, 4)
    assert without_small_regions(masks, 4, 0.7).prompt_ids.tolist() == [1]


def test_small_regions_in_twelve_megapixels(masks_of):
    dense = np.zeros((1, 3000, 4000), dtype=bool)
    dense[0, 1000:1100, 2000:2300] = True
    dense[0, 1020:1025, 2050:2055] = False
    dense[0, 1200, 2100] = True
    check_cleaned(masks_of(dense), 100)
