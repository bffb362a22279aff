import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from samseg.masks.polygons import joined, polygons_of

SIZES = st.tuples(st.integers(1, 14), st.integers(1, 14))


def pixels_of(text: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in text.split()])


def filled(rings: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Fill as COCO does: the union of the polygons."""
    if not rings:
        return np.zeros(size, dtype=bool)
    rles = coco.frPyObjects([ring.ravel().astype(float).tolist() for ring in rings], *size)
    return coco.decode(coco.merge(rles)).astype(bool)


def winding(ring: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Winding number at each pixel's centre: crossings of a ray to the left."""
    number = np.zeros(size, dtype=int)
    for (x, y), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if x == x2:
            number[min(y, y2) : max(y, y2), x:] += 1 if y2 < y else -1
    return number


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("# #", 1),
        ("...", 0),
        ("##. ##. ..#", 1),
        ("##.. ##.. ...#", 2),
        ("### #.# ###", 1),
        ("##### #.#.# #####", 1),
        ("##### #...# #.#.# #...# #####", 2),
        ("#### #..# ##.# ####", 1),
        ("#### #.## ##.# ####", 1),
        ("### #.# ### #.# ###", 1),
        (".#. #.# .#.", 1),
    ],
)
def test_shapes(text: str, parts: int) -> None:
    mask = pixels_of(text)
    rings = polygons_of(mask)
    assert len(rings) == parts
    assert np.array_equal(filled(rings, mask.shape), mask)


def test_a_pixel_is_the_square_right_of_and_below_its_index() -> None:
    mask = np.zeros((4, 5), dtype=bool)
    mask[2, 3] = True
    assert polygons_of(mask)[0].tolist() == [[3, 2], [4, 2], [4, 3], [3, 3]]


@given(SIZES.flatmap(lambda size: arrays(np.bool_, size)))
@settings(max_examples=300, deadline=None)
def test_both_fill_rules_give_the_mask_again(mask: np.ndarray) -> None:
    rings = polygons_of(mask)
    numbers = np.array([winding(ring, mask.shape) for ring in rings] or [np.zeros(mask.shape, int)])
    assert np.array_equal(numbers.sum(axis=0), mask)
    assert set(np.unique(numbers)) <= {0, 1}
    if rings:
        assert np.array_equal(winding(joined(rings), mask.shape), mask)
    assert np.array_equal(filled(rings, mask.shape), mask)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 79),
            st.integers(0, 59),
            st.integers(1, 25),
            st.integers(1, 25),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=100, deadline=None)
def test_ellipses_with_holes_in_several_parts(
    shapes: list[tuple[int, int, int, int, bool]],
) -> None:
    canvas = np.zeros((60, 80), dtype=np.uint8)
    for x, y, a, b, on in shapes:
        cv2.ellipse(canvas, (x, y), (a, b), 0, 0, 360, int(on), -1)
    mask = canvas.astype(bool)
    rings = polygons_of(mask)
    assert len(rings) == cv2.connectedComponents(canvas, connectivity=8)[0] - 1
    assert np.array_equal(filled(rings, mask.shape), mask)


def length(ring: np.ndarray) -> float:
    return float(np.linalg.norm(ring - np.roll(ring, -1, axis=0), axis=1).sum())


def test_bridges_lead_to_the_nearest_corner() -> None:
    rings = polygons_of(pixels_of("#....#. ##.##.. #....#. ....... ...#..."))
    assert len(rings) == 3
    bridges = length(joined(rings)) - sum(map(length, rings))
    # from (5, 0) to (2, 1), and from (3, 4) to (3, 2)
    assert bridges == pytest.approx(2 * (np.hypot(3, 1) + 2))
