import numpy as np
import pytest

from samseg.stages.distances import held_out


@pytest.mark.parametrize(("masks", "dimension", "spread"), [(3, 16, 0.5), (8, 64, 0.3), (40, 8, 1)])
def test_the_distance_of_masks_that_are_not_in_a_mean(
    masks: int, dimension: int, spread: float
) -> None:
    """In the mean of many samples, that of new masks of the same distribution."""
    g = np.random.default_rng(1)
    centre = np.zeros(dimension)
    centre[0] = 1
    fitted, new = (
        (p := centre + spread * g.standard_normal((4000, masks, dimension)) / dimension**0.5)
        / np.linalg.norm(p, axis=-1, keepdims=True)
        for _ in range(2)
    )
    mean = fitted.mean(axis=1)
    length = np.linalg.norm(mean, axis=-1)
    inside = 1 - length
    outside = 1 - np.einsum("knd,kd->k", new, mean) / masks / length
    found = np.mean([held_out(float(distance), masks) for distance in inside])
    assert inside.mean() < found == pytest.approx(outside.mean(), rel=0.02)


@pytest.mark.parametrize(("distance", "fitted"), [(0.0, 5), (0.3, 1), (1.0, 5), (1.5, 5)])
def test_a_mean_of_one_mask_or_of_opposites_tells_nothing(distance: float, fitted: int) -> None:
    assert held_out(distance, fitted) == pytest.approx(distance)
