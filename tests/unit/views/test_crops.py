import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from samseg.views.crops import data_uri, exemplar, shrunk


def rle_of(mask: np.ndarray) -> dict:
    return dict(coco.encode(np.asfortranarray(mask.astype(np.uint8))))


def test_the_mask_is_bright_and_its_surroundings_dim() -> None:
    pixels = np.full((200, 300, 3), 220, np.uint8)
    mask = np.zeros((200, 300), bool)
    mask[80:120, 140:180] = True
    found = exemplar(pixels, rle_of(mask), (255, 0, 0), side=100, context=0.5)
    assert found.shape == (100, 100, 3)
    assert (found[50, 50] == 220).all()
    assert (found[5, 5] < 170).all()
    assert (found[50, 24:27] == (255, 0, 0)).all(axis=1).any()


@settings(max_examples=60, deadline=None)
@given(
    h=st.integers(1, 90),
    w=st.integers(1, 90),
    box=st.tuples(*[st.integers(0, 89)] * 4),
    context=st.floats(0, 2),
)
def test_any_mask_of_any_image_can_be_cropped(h: int, w: int, box: tuple, context: float) -> None:
    pixels = np.full((h, w, 3), 90, np.uint8)
    mask = np.zeros((h, w), bool)
    mask[box[0] % h : box[1] % h + 1, box[2] % w : box[3] % w + 1] = True
    found = exemplar(pixels, rle_of(mask), (1, 2, 3), side=32, context=context)
    assert found.shape == (32, 32, 3) and found.dtype == np.uint8


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [((100, 50), 20, (20, 10)), ((50, 100), 100, (50, 100)), ((1, 9000), 100, (1, 100))],
)
def test_shrunk_never_enlarges(size: tuple, longest: int, expected: tuple) -> None:
    assert shrunk(np.zeros((*size, 3), np.uint8), longest).shape[:2] == expected


def test_data_uri_holds_a_webp_of_the_pixels() -> None:
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[:, :20] = (250, 10, 10)
    head, payload = data_uri(pixels, quality=95).split(",")
    assert head == "data:image/webp;base64"
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(payload))).convert("RGB"), dtype=int)
    assert found.shape == pixels.shape
    assert np.abs(found[15, 5] - (250, 10, 10)).max() < 20
