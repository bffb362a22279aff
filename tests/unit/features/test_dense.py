"""Maps of several strides, pooled as one."""

import numpy as np
import pytest
import torch

from samseg.features.dense import DenseNetwork
from samseg.pooling import Coverage, CoverageSquared
from samseg.types import Features, PatchGrid


def pyramid(images):
    """Mean colour at stride 8, its square at stride 16."""
    fine = torch.nn.functional.avg_pool2d(images, 8)
    return [fine, torch.nn.functional.avg_pool2d(images, 16) ** 2]


def network(**settings):
    return DenseNetwork(
        maps=pyramid,
        strides=(8, 16),
        channels=(3, 3),
        mean=np.zeros(3, np.float32),
        std=np.ones(3, np.float32),
        long_side=64,
        device=torch.device("cpu"),
        **settings,
    )


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (50, 128, 3), dtype=np.uint8)


def test_the_image_is_scaled_into_the_corner_of_whole_strides(photo):
    features = network().encode(photo)
    assert features.grid == PatchGrid((50, 128), (25, 64), 8, (4, 8))
    assert features.map.shape == (6, 4, 8)


def test_coverage_of_repeated_patches_is_that_of_the_coarse_ones(photo):
    features = network().encode(photo)
    mask = np.zeros((1, 50, 128), dtype=bool)
    mask[0, 5:37, 11:90] = True
    coarse = Features(features.map[3:, ::2, ::2], PatchGrid((50, 128), (25, 64), 16, (2, 4)))
    np.testing.assert_allclose(
        Coverage().pool(features, mask).embeddings[0, 3:],
        Coverage().pool(coarse, mask).embeddings[0],
        rtol=1e-5,
    )


def test_padding_is_the_mean_colour():
    dark = network().encode(np.zeros((64, 8, 3), np.uint8)).map
    bright = network(projection=None).encode(np.full((64, 8, 3), 200, np.uint8)).map
    assert dark.max() == 0
    assert bright[:3, :, 0].min() == pytest.approx(200) and bright[:3, :, 1:].max() == 0


def test_each_map_has_unit_length_before_the_projection():
    pooled = np.random.default_rng(1).standard_normal((5, 6)).astype(np.float32)
    joined = network().embed(pooled)
    np.testing.assert_allclose(np.linalg.norm(joined[:, :3], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(joined[:, 3:], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(network().embed(pooled * 7), joined, rtol=1e-5)
    matrix = np.linalg.qr(np.random.default_rng(2).standard_normal((6, 4)))[0].astype(np.float32)
    reduced = network(projection=matrix)
    assert reduced.dimension == 4
    np.testing.assert_allclose(reduced.embed(pooled), joined @ matrix, rtol=1e-5)


def test_a_map_that_is_zero_stays_finite():
    assert not network().embed(np.zeros((1, 6), np.float32)).any()


def test_squares_favour_the_inside(photo):
    features = network().encode(photo)
    mask = np.zeros((1, 50, 128), dtype=bool)
    mask[0, 4:40, 18:100] = True
    share = [
        pooling.pool(Features(_inside(features), features.grid), mask).embeddings[0, 0]
        for pooling in (Coverage(), CoverageSquared())
    ]
    assert share[0] < share[1] < 1


def _inside(features):
    """1 in the patches that lie wholly inside the mask, 0 elsewhere."""
    inside = np.zeros((1, *features.grid.shape), np.float32)
    inside[0, 1:2, 2:6] = 1
    return inside
