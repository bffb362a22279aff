import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from samseg.masks.painting import dense_at

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=20))


@given(MASKS, st.integers(1, 25), st.integers(1, 25), st.booleans())
def test_a_sampled_mask_has_the_pixels_at_the_centres(
    mask: np.ndarray, h: int, w: int, as_text: bool
) -> None:
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    if as_text:
        rle["counts"] = rle["counts"].decode()
    rows = [int((y + 0.5) * mask.shape[0] / h) for y in range(h)]
    columns = [int((x + 0.5) * mask.shape[1] / w) for x in range(w)]
    assert np.array_equal(dense_at(rle, (h, w)), mask[np.ix_(rows, columns)])
