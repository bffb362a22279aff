import dataclasses

import numpy as np
import pytest

from samseg.lab.evaluation.masks.truth import Truth, deepest_point
from samseg.lab.labelled import LabelledPhoto

SIZE = (60, 70)


def photo(instances, stem="a"):
    pixels = np.zeros((*instances.shape, 3), np.uint8)
    return LabelledPhoto(stem, pixels, instances.astype(np.int32), {})


@pytest.fixture
def grid():
    """20 squares of 6 x 6 px."""
    instances = np.zeros(SIZE)
    for i in range(20):
        y, x = 10 * (i // 5) + 3, 10 * (i % 5) + 3
        instances[y : y + 6, x : x + 6] = i + 1
    return photo(instances)


def region(*slices):
    drawn = np.zeros(SIZE, bool)
    for rows, columns in slices:
        drawn[rows, columns] = True
    return drawn


@pytest.mark.parametrize(
    ("drawn", "point"),
    [
        (region((slice(10, 21), slice(30, 41))), (35, 15)),
        (region((slice(10, 11), slice(30, 31))), (30, 10)),
        # a thin bar and a block: the block
        (region((slice(0, 60), slice(0, 3)), (slice(40, 49), slice(20, 29))), (24, 44)),
        # the image border is outside
        (region((slice(0, 9), slice(0, 9))), (4, 4)),
        (np.ones((5, 9), bool), (2, 2)),
    ],
    ids=["square", "one px", "two parts", "corner", "whole image"],
)
def test_deepest_point(drawn, point):
    assert deepest_point(drawn) == point


def test_clicks_lie_inside_a_ring():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(y - 30, x - 35)
    ring = (distance < 25) & (distance > 12)
    px, py = deepest_point(ring)
    assert ring[py, px] and 17 < distance[py, px] < 20


def test_truth_of_all_segments(grid):
    truth = Truth.choose(grid, 100, seed=0)
    assert len(truth) == 20
    for i, (mask, (x, y), box) in enumerate(
        zip(truth.masks, truth.clicks, truth.boxes, strict=True)
    ):
        np.testing.assert_array_equal(mask, grid.instances == i + 1)
        assert mask[int(y), int(x)]
        left, top = 10 * (i % 5) + 3, 10 * (i // 5) + 3
        assert box.tolist() == [left, top, left + 5, top + 5]


def test_small_segments_are_excluded(grid):
    instances = grid.instances.copy()
    instances[instances == 3] = 0
    instances[50, :8] = 3  # 8 of 4200 px are less than 0.2 %, 9 are more
    assert len(Truth.choose(photo(instances), 100, seed=0)) == 19
    instances[50, :9] = 3
    assert len(Truth.choose(photo(instances), 100, seed=0)) == 20


def test_the_sample_depends_on_seed_and_photo_only(grid):
    first = Truth.choose(grid, 7, seed=0)
    assert len(first) == 7
    np.testing.assert_array_equal(first.masks, Truth.choose(grid, 7, seed=0).masks)
    for other in (
        Truth.choose(grid, 7, seed=1),
        Truth.choose(dataclasses.replace(grid, stem="b"), 7, seed=0),
    ):
        assert (first.masks != other.masks).any()


def test_a_photo_without_segments():
    truth = Truth.choose(photo(np.zeros(SIZE)), 5, seed=0)
    assert (truth.masks.shape, truth.clicks.shape, truth.boxes.shape) == (
        (0, *SIZE),
        (0, 2),
        (0, 4),
    )
