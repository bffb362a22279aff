"""Poolings compared with a direct implementation of the notebook's rule."""

import numpy as np
import pytest

from samseg.pooling import Coverage, MaskMean, pool, sam_grid
from samseg.types import Features


def _notebook(mask, features):
    """Unweighted mean over the patches with more than one pixel of a 1024 x 1024 mask."""
    chosen = [
        features[:, y, x]
        for y in range(64)
        for x in range(64)
        if mask[16 * y : 16 * y + 16, 16 * x : 16 * x + 16].sum() > 1
    ]
    return np.mean(chosen, axis=0)


def of(masks, features):
    """SAM's features of the image of these masks."""
    return Features(features, sam_grid(masks.shape[1:]))


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(0).standard_normal((256, 64, 64)).astype(np.float32)


def test_equals_the_notebook_on_square_images(features):
    rng = np.random.default_rng(3)
    masks = np.zeros((4, 1024, 1024), dtype=bool)
    masks[0, 100:300, 417:420] = True
    masks[1, rng.integers(0, 1024, 60), rng.integers(0, 1024, 60)] = True
    masks[1, 640:642, 15:17] = True  # two pixels in each of two patches
    masks[2] = True
    masks[3, 7, 7:9] = True
    got = MaskMean().pool(of(masks, features), masks)
    for row, mask in zip(got.embeddings, masks, strict=True):
        np.testing.assert_allclose(row, _notebook(mask, features), atol=2e-6)


def test_single_pixel_in_a_patch_does_not_count(features):
    masks = np.zeros((2, 1024, 1024), dtype=bool)
    masks[0, 5, 5] = True
    masks[1, 5, 5:7] = True
    got = MaskMean().pool(of(masks, features), masks)
    assert got.empty.tolist() == [True, False]
    assert got.coverage.tolist() == pytest.approx([1 / 256, 2 / 256])
    assert not got.embeddings[0].any()
    np.testing.assert_allclose(got.embeddings[1], features[:, 0, 0], atol=1e-6)


def test_single_pixel_of_a_small_image_fills_a_patch(features):
    mask = np.zeros((1, 64, 64), dtype=bool)
    mask[0, 9, 4] = True
    for pooling in (MaskMean(), Coverage()):
        np.testing.assert_allclose(
            pooling.pool(of(mask, features), mask).embeddings[0], features[:, 9, 4], atol=1e-6
        )


def test_coverage_weighs_by_fraction(features):
    mask = np.zeros((1, 1024, 1024), dtype=bool)
    mask[0, :16, 12:32] = True  # a quarter of patch (0, 0), the whole of (0, 1)
    wanted = (0.25 * features[:, 0, 0] + features[:, 0, 1]) / 1.25
    got = Coverage().pool(of(mask, features), mask)
    np.testing.assert_allclose(got.embeddings[0], wanted, atol=1e-6)
    assert got.coverage[0] == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("features_shape", "masks", "kind", "message"),
    [
        ((1, 256, 64, 64), np.ones((1, 4, 4), bool), "coverage", "without a batch axis"),
        ((256, 64, 64), np.ones((4, 4), bool), "coverage", r"masks\[None\]"),
        ((256, 64, 64), np.ones((1, 4, 4), bool), "coverag", "wanted one of"),
    ],
)
def test_wrong_arguments_are_reported(features_shape, masks, kind, message):
    with pytest.raises(ValueError, match=message):
        pool(np.zeros(features_shape, np.float32), masks, kind)
