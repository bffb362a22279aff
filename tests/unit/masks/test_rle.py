"""RLEs encoded from a window are byte-identical to those of the whole image."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco
from segment_anything.utils.amg import batched_mask_to_box, mask_to_rle_pytorch

from samseg.masks.rle import MaskWindow, areas_of, boxes_of, encode, window_flips


def check(image, window):
    """Compare with area, box and encoding of the whole image."""
    h, w = image.shape
    flips = window_flips([window], h)
    assert areas_of(flips).tolist() == [image.sum()]
    assert boxes_of(flips, h).tolist() == [batched_mask_to_box(torch.as_tensor(image)).tolist()]
    (rle,) = encode(flips, (h, w))
    assert rle == coco.encode(np.asfortranarray(image, dtype=np.uint8))
    (reference,) = mask_to_rle_pytorch(torch.as_tensor(image)[None])
    assert rle == coco.frPyObjects(reference, h, w)


def placed(inside, left, top, right, bottom):
    """Return (h, w) pixels padded to an image, and as a window of it."""
    image = np.pad(inside, ((top, bottom), (left, right)))
    return image, MaskWindow(np.ascontiguousarray(inside.T), left, top)


margins = st.integers(0, 3)


@settings(max_examples=100, deadline=None)
@given(
    arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))),
    margins,
    margins,
    margins,
    margins,
)
def test_random_windows(inside, left, top, right, bottom):
    check(*placed(inside, left, top, right, bottom))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(1, 90), (90, 1), (33, 70)]))
def test_window_of_the_whole_image(seed, size):
    """Full columns: runs continue from the bottom of one column at the top of the next."""
    rng = np.random.default_rng(seed)
    flat = np.repeat(rng.random(40) < 0.5, rng.integers(1, 2 * size[0] * size[1] // 40 + 2, 40))
    image = np.resize(flat, size[0] * size[1]).reshape(size[1], size[0]).T
    check(image, MaskWindow(image.T, 0, 0))


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


def test_empty_window_is_an_empty_mask():
    check(np.zeros((4, 6), dtype=bool), MaskWindow(np.zeros((0, 0), dtype=bool), 0, 0))


def test_small_mask_in_twelve_megapixels():
    image = np.zeros((3000, 4000), dtype=bool)
    inside = np.hypot(*np.ogrid[-150:151, -220:221]) < 160
    image[2699:, 3559:] = inside
    check(image, MaskWindow(np.ascontiguousarray(inside.T), 3559, 2699))


def test_window_of_a_crop_is_translated_to_the_image():
    inside = SHAPES["chessboard"]
    image = np.zeros((20, 30), dtype=bool)
    image[3 + 8 : 8 + 8, 2 + 9 : 9 + 9] = inside
    check(image, MaskWindow(inside.T, 2, 3).translated(9, 8))


@pytest.mark.parametrize("order", [1, -1])
def test_many_masks_are_encoded_as_each_alone(order):
    """Empty and full masks at either end, and of two masks the second starts where one ends."""
    image = np.zeros((5, 7), dtype=bool)
    inside = [SHAPES[name] for name in ("empty", "last px", "first px", "full", "empty", "rows")]
    windows = [MaskWindow(one.T, 0, 0) for one in [image, *inside, image, image]][::order]
    together = window_flips(windows, 5)
    alone = [window_flips([window], 5) for window in windows]
    np.testing.assert_array_equal(areas_of(together), [areas_of(one)[0] for one in alone])
    np.testing.assert_array_equal(boxes_of(together, 5), [boxes_of(one, 5)[0] for one in alone])
    assert encode(together, (5, 7)) == tuple(encode(one, (5, 7))[0] for one in alone)
    for n in (1, 2, 4, 20):
        parts = [rle for part in together.split(n) for rle in encode(part, (5, 7))]
        assert tuple(parts) == encode(together, (5, 7))


def test_no_masks():
    flips = window_flips([], 5)
    assert (boxes_of(flips, 5).shape, areas_of(flips).shape) == ((0, 4), (0,))
    assert encode(flips, (5, 7)) == ()
