"""Outlines of others: equal pixels have equal codes, and what cannot be is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from samseg.corrections.outline import of_counts, of_pixels, of_polygons, shape_of
from samseg.errors import ConfigError
from samseg.masks.polygons import polygons_of

PIXELS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))).filter(np.any)


def encoded(pixels):
    rle = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


@settings(max_examples=40)
@given(PIXELS)
def test_every_way_to_write_a_mask_gives_the_code_that_was_exported(pixels):
    exported, size = encoded(pixels), pixels.shape
    runs = coco.frPyObjects({"size": list(size), "counts": [0, 0, 0]}, *size)  # a list is allowed
    assert runs["size"] == list(size)
    flat = np.concatenate([[False], pixels.T.ravel()])
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), pixels.size)
    lengths = np.diff(ends, prepend=0).tolist()
    padded = [lengths[0], 0, 0, *lengths[1:]]  # with an empty run
    for drawn in (
        of_pixels(pixels, "m"),
        of_counts(exported["counts"], exported["size"], size, "m"),
        of_counts(lengths, [*size], size, "m"),
        of_counts(padded, [*size], size, "m"),
        of_polygons([p.ravel().tolist() for p in polygons_of(pixels)], size, "m"),
    ):
        assert drawn == exported
    shape = shape_of(exported)
    assert shape["area"] == pixels.sum() and shape["rle"] == exported
    assert [*shape["bbox"].values()] == coco.toBbox(exported).tolist()


@pytest.mark.parametrize(
    ("counts", "size", "message"),
    [
        ("11", [4, 6], r"has an RLE of size \[4, 6\], and its image has \[4, 5\]"),
        ("11", "4x5", "has an RLE of size 4x5"),
        ("", [4, 5], "counts are no COCO code"),
        ("P", [4, 5], "counts are no COCO code"),
        ("\x00\xff", [4, 5], "counts are no COCO code"),
        ("ooooooooooo1", [4, 5], "counts are no COCO code"),
        (None, [4, 5], "counts are no COCO code"),
        ([1, -1], [4, 5], "counts are no COCO code"),
        ([1, True], [4, 5], "counts are no COCO code"),
        ([3, 18], [4, 5], "ends outside its image of 20 px"),
        ([20, 0], [4, 5], "an outline without pixels"),
        ([20], [4, 5], "an outline without pixels"),
        ("1O", [4, 5], "with a run of negative length"),
    ],
)
def test_codes_that_cannot_be_are_refused(counts, size, message):
    with pytest.raises(ConfigError, match=message):
        of_counts(counts, size, (4, 5), "m")


@given(st.text(st.characters(codec="latin-1"), max_size=30))
def test_any_text_is_read_or_refused(counts):
    try:
        rle = of_counts(counts, [4, 5], (4, 5), "m")
    except ConfigError:
        return
    assert 0 < coco.area(rle) <= 20


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        ([], "has no polygon"),
        ([[1, 1, 2, 2]], "without three corners"),
        ([[1, 1, 2, 2, 3]], "without three corners"),
        (["abcdef"], "without three corners"),
        ([[1, 1, 2, 2, "a", 3]], "coordinates are no numbers"),
        ([[1, 1, 2, 2, 10**400, 3]], "coordinates are no numbers"),
        ([[1, 1, 2, 2, float("nan"), 3]], "coordinates are no numbers"),
        ([[1, 1, 4, 1, 9, 3]], r"has a corner \(9, 3\) outside its image of 5 x 4"),
        ([[0, 0, 5, 4] * 60 + [0, 0]], "longer than its image has"),
        ([[1, 1, 1, 1, 1, 1]], "an outline without pixels"),
    ],
)
def test_polygons_that_cannot_be_are_refused(polygons, message):
    with pytest.raises(ConfigError, match=message):
        of_polygons(polygons, (4, 5), "m")
