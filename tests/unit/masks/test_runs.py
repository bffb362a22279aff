"""Flips of compressed and dense masks agree with pycocotools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from samseg.masks.runs import flips_of, flips_of_counts


def _dense_of(flips, h, w):
    flat = np.zeros(h * w + 1, dtype=np.int64)
    np.add.at(flat, flips, np.where(np.arange(len(flips)) % 2 == 0, 1, -1))
    return np.cumsum(flat)[:-1].reshape(w, h).T.astype(bool)


def _counts(masks):
    return [
        rle["counts"] for rle in coco.encode(np.asfortranarray(masks.transpose(1, 2, 0), np.uint8))
    ]


@settings(max_examples=150, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40))))
def test_flips_rebuild_the_masks(masks):
    for flips in (flips_of_counts(_counts(masks)), flips_of(masks)):
        assert len(flips) == len(masks)
        for i, mask in enumerate(masks):
            np.testing.assert_array_equal(_dense_of(flips[i], *mask.shape), mask)


def test_flips_of_empty_and_full_masks_between_others():
    masks = np.zeros((6, 5, 7), dtype=bool)
    masks[1] = masks[4, 2:, 6] = masks[5, 0, 0] = True
    for flips in (flips_of_counts(_counts(masks)), flips_of(masks)):
        assert [flips[i].tolist() for i in range(6)] == [[], [0, 35], [], [], [32, 35], [0, 1]]


@pytest.mark.parametrize("run", [1, 15, 16, 31, 32, 511, 512, 40_000, 3_000_000])
def test_encoded_numbers_of_all_lengths(run):
    mask = np.zeros((1, 2, 2 * run + 10), dtype=bool)
    mask[0, :, 3 : 3 + run] = True
    mask[0, :, 5 + run : 6 + run] = True  # much shorter than the run before: a negative difference
    wanted = [6, 6 + 2 * run, 10 + 2 * run, 12 + 2 * run]
    assert flips_of_counts(_counts(mask))[0].tolist() == wanted


def test_text_counts_and_no_masks():
    counts = _counts(np.eye(5, dtype=bool)[None])
    assert (
        flips_of_counts([counts[0].decode()]).positions.tolist()
        == flips_of_counts(counts).positions.tolist()
    )
    assert len(flips_of_counts([])) == len(flips_of(np.zeros((0, 5, 5), dtype=bool))) == 0
