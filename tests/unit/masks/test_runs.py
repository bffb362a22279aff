"""Flips of compressed, uncompressed and dense masks agree with pycocotools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from samseg.masks.runs import _flips_of_counts, flips_of


def _dense_of(flips, h, w):
    flat = np.zeros(h * w + 1, dtype=np.int64)
    np.add.at(flat, flips, np.where(np.arange(len(flips)) % 2 == 0, 1, -1))
    return np.cumsum(flat)[:-1].reshape(w, h).T.astype(bool)


@settings(max_examples=150, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_flips_rebuild_the_mask(mask):
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    from_rle = _dense_of(_flips_of_counts(rle["counts"]), *mask.shape)
    from_dense = _dense_of(next(flips_of(mask[None])), *mask.shape)
    np.testing.assert_array_equal(from_rle, mask)
    np.testing.assert_array_equal(from_dense, mask)


@pytest.mark.parametrize("run", [1, 15, 16, 31, 32, 511, 512, 40_000, 3_000_000])
def test_encoded_numbers_of_all_lengths(run):
    mask = np.zeros((2, 2 * run + 10), dtype=np.uint8, order="F")
    mask[:, 3 : 3 + run] = 1
    mask[:, 5 + run : 6 + run] = 1  # much shorter than the run before: a negative difference
    flips = _flips_of_counts(coco.encode(mask)["counts"])
    assert flips[:4].tolist() == [6, 6 + 2 * run, 10 + 2 * run, 12 + 2 * run]


def test_uncompressed_and_text_counts():
    mask = np.eye(5, dtype=np.uint8, order="F")
    rle = coco.encode(mask)
    wanted = _flips_of_counts(rle["counts"]).tolist()
    assert _flips_of_counts(rle["counts"].decode()).tolist() == wanted
    counts = np.diff(wanted, prepend=0).tolist()
    assert _flips_of_counts(counts).tolist() == wanted
    assert _flips_of_counts(b"").tolist() == []
