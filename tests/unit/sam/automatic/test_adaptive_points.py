import numpy as np
import pytest

from samseg.sam.automatic.adaptive_points import (
    LEVELS,
    AdaptivePointSampler,
    PromptedPoints,
    levels_of,
)

N = 32


def grid(points) -> np.ndarray:
    marked = np.zeros(N * N, dtype=bool)
    marked[points] = True
    return marked.reshape(N, N)


def square(row: int, column: int, side: int) -> np.ndarray:
    """Which points of the grid lie in a square of `side` cells from (row, column)."""
    inside = np.zeros((N, N), dtype=bool)
    inside[row : row + side, column : column + side] = True
    return inside.ravel()


def sample_all_levels(sampler, per_side, accept=lambda points, prompted: None):
    prompted = PromptedPoints(per_side)
    for level in range(LEVELS):
        points = sampler.next_points(level, prompted)
        assert not prompted.prompted[points].any()
        prompted.add(points, np.full((len(points), 3), 0.5, dtype=np.float32))
        accept(points, prompted)
    return prompted


@pytest.mark.parametrize("per_side", [8, 9, 13, 31, 32, 33, 64])
def test_each_level_doubles_the_points_of_a_regular_grid(per_side):
    levels = levels_of(per_side).reshape(per_side, per_side)
    assert set(levels.ravel()) == set(range(LEVELS))
    for level in range(LEVELS):
        coarse = levels <= level
        period = 4 >> (level // 2)  # of the square or diagonal grid
        wrapped = coarse[period:, period:] == coarse[:-period, :-period]
        assert wrapped.all()
        whole = coarse[: per_side // 4 * 4, : per_side // 4 * 4]
        assert whole.mean() == 2 ** (level - LEVELS + 1)


@pytest.mark.parametrize("per_side", [1, 2, 7])
def test_small_grid_is_prompted_in_full_at_level_0(per_side):
    prompted = PromptedPoints(per_side)
    sampler = AdaptivePointSampler()
    first = sampler.next_points(0, prompted)
    np.testing.assert_array_equal(first, np.arange(per_side**2))
    prompted.add(first, np.ones((len(first), 3), dtype=np.float32))
    assert not any(len(sampler.next_points(level, prompted)) for level in range(1, LEVELS))


def test_without_masks_only_the_fractions_are_prompted():
    prompted = sample_all_levels(AdaptivePointSampler(), N).prompted
    assert prompted.sum() == 64 + 64 + 96 + 64


def test_tiny_masks_everywhere_cause_all_points_to_be_prompted():
    def one_cell_each(points, prompted):
        prompted.cover(points, np.full(len(points), 1 / N**2), np.eye(N * N, dtype=bool)[points])

    assert sample_all_levels(AdaptivePointSampler(), N, one_cell_each).prompted.all()


def test_points_in_and_next_to_a_small_mask_are_prompted_next():
    prompted = PromptedPoints(N)
    first = AdaptivePointSampler().next_points(0, prompted)
    prompted.add(first, np.ones((len(first), 3), dtype=np.float32))
    inside = square(row=8, column=10, side=3)
    prompted.cover(np.array([9 * N + 9]), np.array([9 / N**2]), inside[None])
    level = levels_of(N).reshape(N, N)
    extra = grid(AdaptivePointSampler().next_points(1, prompted)) & (level != 1)
    wanted = np.zeros((N, N), dtype=bool)
    wanted[7:12, 10:13] = wanted[8:11, 9:14] = True  # the square and its neighbours
    wanted[9, 8:10] = wanted[8:11, 9] = True  # the prompt point and its neighbours
    np.testing.assert_array_equal(extra, wanted & (level != 1) & (level != 0))


@pytest.mark.parametrize(("small", "selected"), [(5.0, False), (5.1, True)])
def test_small_is_compared_with_the_side_in_cells(small, selected):
    sampler, prompted = AdaptivePointSampler(small=small), PromptedPoints(N)
    inside = square(10, 10, 5)
    prompted.cover(np.array([12 * N + 12]), np.array([25 / N**2]), inside[None])
    chosen = sampler.next_points(LEVELS - 1, prompted)
    assert bool(len(chosen)) is selected
    assert inside[chosen].sum() == selected * 25


def test_smallest_mask_is_recorded_in_any_order():
    masks = [(square(4, 4, 20), 400), (square(8, 8, 3), 9), (square(6, 6, 10), 100)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        prompted = PromptedPoints(N)
        for i in order:
            inside, cells = masks[i]
            prompted.cover(np.array([9 * N + 9]), np.array([cells / N**2]), inside[None])
        sides = prompted.smallest.reshape(N, N)
        assert [sides[r, r] for r in (9, 6, 4, 0)] == pytest.approx([3, 10, 20, np.inf])


def test_fraction_of_a_level_is_taken_where_confidence_is_lowest():
    prompted = PromptedPoints(N)
    for level in range(3):
        points = np.flatnonzero(levels_of(N) == level)
        confident = points % N >= N // 2
        prompted.add(points, np.where(confident, 0.9, 0.2)[:, None].repeat(3, 1).astype(np.float32))
    chosen = AdaptivePointSampler().next_points(3, prompted)
    assert len(chosen) == 64
    assert (chosen % N < N // 2).all()


def test_confidence_is_the_mean_over_all_masks_of_prompted_points_only():
    prompted = PromptedPoints(N)
    # One prompted point with a good and two bad masks; all other points have confidence 0.
    prompted.add(np.array([5 * N + 5]), np.array([[0.9, 0.0, 0.0]], dtype=np.float32))
    assert prompted.confidence[5 * N + 5] == pytest.approx(0.3)
    chosen = AdaptivePointSampler().next_points(2, prompted)  # three quarters of the level
    level2 = np.flatnonzero(levels_of(N) == 2)
    around = [p for p in level2 if max(abs(p // N - 5), abs(p % N - 5)) <= 2]
    assert len(around) == 4
    assert not set(around) & set(chosen)


def test_fewer_neighbours_at_the_border_do_not_lower_confidence():
    prompted = PromptedPoints(N)
    points = np.flatnonzero(levels_of(N) < 2)
    prompted.add(points, np.full((len(points), 3), 0.5, dtype=np.float32))
    level2 = np.flatnonzero(levels_of(N) == 2)
    np.testing.assert_array_equal(AdaptivePointSampler().next_points(2, prompted), level2[:96])


def test_all_objects_of_a_cluster_are_found_and_few_points_elsewhere_prompted():
    rows, columns = np.divmod(np.arange(N * N), N)
    cluster = (rows < 16) & (columns < 16)
    object_id = rows // 2 * N + columns // 2  # objects of 2 x 2 points

    def accept_object(points, prompted):
        hit = points[cluster[points]]
        inside = (object_id[hit][:, None] == object_id) & cluster
        prompted.cover(hit, np.full(len(hit), 4 / N**2), inside)

    prompted = sample_all_levels(AdaptivePointSampler(), N, accept_object).prompted
    first = levels_of(N) == 0
    assert len(set(object_id[first & cluster])) == len(set(object_id[cluster])) / 4
    assert set(object_id[prompted & cluster]) == set(object_id[cluster])
    assert prompted[~cluster].mean() < 0.35
