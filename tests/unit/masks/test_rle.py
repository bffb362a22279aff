"""Encodings made from a window are those of the whole picture, to the byte."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco
from segment_anything.utils.amg import batched_mask_to_box, mask_to_rle_pytorch

from samseg.masks.rle import MaskWindow, area_of, box_of, encode, flips_of


def check(picture, window):
    """Compare with the whole picture's area, box and encoding."""
    h, w = picture.shape
    flips = flips_of(window, h)
    assert area_of(flips) == picture.sum()
    assert box_of(flips, h) == tuple(batched_mask_to_box(torch.as_tensor(picture)).tolist())
    assert encode(flips, (h, w)) == coco.encode(np.asfortranarray(picture, dtype=np.uint8))
    (reference,) = mask_to_rle_pytorch(torch.as_tensor(picture)[None])
    assert encode(flips, (h, w)) == coco.frPyObjects(reference, h, w)


def placed(inside, left, top, right, bottom):
    """Put (h, w) pixels into a picture with so many px around, and into a window."""
    picture = np.pad(inside, ((top, bottom), (left, right)))
    return picture, MaskWindow(np.ascontiguousarray(inside.T), left, top)


margins = st.integers(0, 3)


@settings(max_examples=100, deadline=None)
@given(
    arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))),
    margins,
    margins,
    margins,
    margins,
)
def test_any_window_anywhere(inside, left, top, right, bottom):
    check(*placed(inside, left, top, right, bottom))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(1, 90), (90, 1), (33, 70)]))
def test_a_window_that_is_the_picture(seed, size):
    """Full columns: runs go on from the foot of one column to the head of the next."""
    rng = np.random.default_rng(seed)
    flat = np.repeat(rng.random(40) < 0.5, rng.integers(1, 2 * size[0] * size[1] // 40 + 2, 40))
    picture = np.resize(flat, size[0] * size[1]).reshape(size[1], size[0]).T
    check(picture, MaskWindow(picture.T, 0, 0))


SHAPES = {
    "empty": np.zeros((5, 7), dtype=bool),
    "full": np.ones((5, 7), dtype=bool),
    "one px": np.ones((1, 1), dtype=bool),
    "first px": np.arange(35).reshape(5, 7) == 0,
    "last px": np.arange(35).reshape(5, 7) == 34,
    "columns": np.tile(np.arange(7) % 3 > 0, (5, 1)),
    "rows": np.tile(np.arange(5)[:, None] % 2 == 0, (1, 7)),
    "chessboard": np.indices((5, 7)).sum(axis=0) % 2 == 0,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("around", [(0, 0, 0, 0), (2, 0, 3, 0), (0, 2, 0, 3), (1, 1, 1, 1)])
def test_shapes_at_every_border(shape, around):
    check(*placed(SHAPES[shape], *around))


def test_no_window_is_an_empty_mask():
    check(np.zeros((4, 6), dtype=bool), MaskWindow(np.zeros((0, 0), dtype=bool), 0, 0))


def test_a_small_mask_on_twelve_megapixels():
    picture = np.zeros((3000, 4000), dtype=bool)
    inside = np.hypot(*np.ogrid[-150:151, -220:221]) < 160
    picture[2699:, 3559:] = inside
    check(picture, MaskWindow(np.ascontiguousarray(inside.T), 3559, 2699))


def test_a_crop_s_window_moves_into_the_image():
    inside = SHAPES["chessboard"]
    picture = np.zeros((20, 30), dtype=bool)
    picture[3 + 8 : 8 + 8, 2 + 9 : 9 + 9] = inside
    check(picture, MaskWindow(inside.T, 2, 3).moved(9, 8))
