import numpy as np
import pytest

from samseg.sam.automatic.adaptive_points import (
    LEVELS,
    AdaptivePointSampler,
    AskedPoints,
    levels_of,
)

N = 32


def grid(points) -> np.ndarray:
    marked = np.zeros(N * N, dtype=bool)
    marked[points] = True
    return marked.reshape(N, N)


def square(row: int, column: int, side: int) -> np.ndarray:
    """Which points of the grid lie in a square of `side` cells from (row, column)."""
    held = np.zeros((N, N), dtype=bool)
    held[row : row + side, column : column + side] = True
    return held.ravel()


def ask_all_levels(schedule, per_side, answer=lambda points, answers: None):
    answers = AskedPoints(per_side)
    for level in range(LEVELS):
        points = schedule.wanted(level, answers)
        assert not answers.asked[points].any()
        answers.add(points, np.full((len(points), 3), 0.5, dtype=np.float32))
        answer(points, answers)
    return answers


@pytest.mark.parametrize("per_side", [8, 9, 13, 31, 32, 33, 64])
def test_levels_together_are_even_grids_of_twice_the_points(per_side):
    levels = levels_of(per_side).reshape(per_side, per_side)
    assert set(levels.ravel()) == set(range(LEVELS))
    for level in range(LEVELS):
        coarse = levels <= level
        period = 4 >> (level // 2)  # straight or diagonal, a grid repeats itself
        wrapped = coarse[period:, period:] == coarse[:-period, :-period]
        assert wrapped.all()
        whole = coarse[: per_side // 4 * 4, : per_side // 4 * 4]
        assert whole.mean() == 2 ** (level - LEVELS + 1)


@pytest.mark.parametrize("per_side", [1, 2, 7])
def test_a_small_grid_is_asked_wholly_and_once(per_side):
    answers = AskedPoints(per_side)
    first = AdaptivePointSampler().wanted(0, answers)
    np.testing.assert_array_equal(first, np.arange(per_side**2))
    answers.add(first, np.ones((len(first), 3), dtype=np.float32))
    assert not any(len(AdaptivePointSampler().wanted(level, answers)) for level in range(1, LEVELS))


def test_an_image_without_masks_costs_the_shares_only():
    asked = ask_all_levels(AdaptivePointSampler(), N).asked
    assert asked.sum() == 64 + 64 + 96 + 64


def test_tiny_masks_everywhere_have_every_point_asked():
    def one_cell_each(points, answers):
        answers.cover(points, np.full(len(points), 1 / N**2), np.eye(N * N, dtype=bool)[points])

    assert ask_all_levels(AdaptivePointSampler(), N, one_cell_each).asked.all()


def test_points_in_and_beside_a_small_mask_are_asked_next():
    answers = AskedPoints(N)
    first = AdaptivePointSampler().wanted(0, answers)
    answers.add(first, np.ones((len(first), 3), dtype=np.float32))
    held = square(row=8, column=10, side=3)
    answers.cover(np.array([9 * N + 9]), np.array([9 / N**2]), held[None])
    level = levels_of(N).reshape(N, N)
    extra = grid(AdaptivePointSampler().wanted(1, answers)) & (level != 1)
    wanted = np.zeros((N, N), dtype=bool)
    wanted[7:12, 10:13] = wanted[8:11, 9:14] = True  # the square, and what touches it
    wanted[9, 8:10] = wanted[8:11, 9] = True  # the point that gave it, and what touches that
    np.testing.assert_array_equal(extra, wanted & (level != 1) & (level != 0))


@pytest.mark.parametrize(("small", "asked"), [(5.0, False), (5.1, True)])
def test_the_limit_is_the_side_in_cells(small, asked):
    schedule, answers = AdaptivePointSampler(small=small), AskedPoints(N)
    inside = square(10, 10, 5)
    answers.cover(np.array([12 * N + 12]), np.array([25 / N**2]), inside[None])
    chosen = schedule.wanted(LEVELS - 1, answers)
    assert bool(len(chosen)) is asked
    assert inside[chosen].sum() == asked * 25


def test_the_smallest_mask_counts_in_whatever_order_masks_come():
    masks = [(square(4, 4, 20), 400), (square(8, 8, 3), 9), (square(6, 6, 10), 100)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        answers = AskedPoints(N)
        for i in order:
            held, cells = masks[i]
            answers.cover(np.array([9 * N + 9]), np.array([cells / N**2]), held[None])
        sides = answers.smallest.reshape(N, N)
        assert [sides[r, r] for r in (9, 6, 4, 0)] == pytest.approx([3, 10, 20, np.inf])


def test_the_share_of_a_level_goes_to_the_least_confident_half_of_the_image():
    answers = AskedPoints(N)
    for level in range(3):
        points = np.flatnonzero(levels_of(N) == level)
        confident = points % N >= N // 2
        answers.add(points, np.where(confident, 0.9, 0.2)[:, None].repeat(3, 1).astype(np.float32))
    chosen = AdaptivePointSampler().wanted(3, answers)
    assert len(chosen) == 64
    assert (chosen % N < N // 2).all()


def test_confidence_is_the_mean_over_all_masks_of_asked_points_only():
    answers = AskedPoints(N)
    # One asked point with a good and two bad masks; elsewhere nothing, the least confidence.
    answers.add(np.array([5 * N + 5]), np.array([[0.9, 0.0, 0.0]], dtype=np.float32))
    assert answers.confidence[5 * N + 5] == pytest.approx(0.3)
    chosen = AdaptivePointSampler().wanted(2, answers)  # three quarters of the level
    level2 = np.flatnonzero(levels_of(N) == 2)
    around = [p for p in level2 if max(abs(p // N - 5), abs(p % N - 5)) <= 2]
    assert len(around) == 4
    assert not set(around) & set(chosen)


def test_the_border_is_not_less_confident_for_having_fewer_neighbours():
    answers = AskedPoints(N)
    asked = np.flatnonzero(levels_of(N) < 2)
    answers.add(asked, np.full((len(asked), 3), 0.5, dtype=np.float32))
    level2 = np.flatnonzero(levels_of(N) == 2)
    np.testing.assert_array_equal(AdaptivePointSampler().wanted(2, answers), level2[:96])


def test_a_crowd_of_small_things_is_found_wholly_and_the_calm_is_spared():
    rows, columns = np.divmod(np.arange(N * N), N)
    crowd = (rows < 16) & (columns < 16)
    thing = rows // 2 * N + columns // 2  # things of 2 x 2 points

    def give_the_thing(points, answers):
        hit = points[crowd[points]]
        inside = (thing[hit][:, None] == thing) & crowd
        answers.cover(hit, np.full(len(hit), 4 / N**2), inside)

    asked = ask_all_levels(AdaptivePointSampler(), N, give_the_thing).asked
    seeds = levels_of(N) == 0
    assert len(set(thing[seeds & crowd])) == len(set(thing[crowd])) / 4
    assert set(thing[asked & crowd]) == set(thing[crowd])
    assert asked[~crowd].mean() < 0.35
