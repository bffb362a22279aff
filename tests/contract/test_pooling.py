"""The contract of every pooling."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samseg.pooling import Pooling, pool, sam_grid
from samseg.types import Features, PatchGrid

KINDS = get_args(get_args(Pooling)[0])
every = pytest.mark.parametrize("pooling", [k() for k in KINDS], ids=lambda p: p.kind)


def grids(size):
    """SAM's grid over an image of `size`, and one of another stride, shape and scale."""
    h, w = size
    scaled = (max(1, round(320 * h / max(size))), max(1, round(320 * w / max(size))))
    return [sam_grid(size), PatchGrid(size, scaled, 14, (-(-scaled[0] // 14), 25))]


@pytest.fixture(scope="module", params=[0, 1], ids=["sam", "other"])
def features(request):
    grid = grids((120, 200))[request.param]
    channels = (256, 19)[request.param]
    rng = np.random.default_rng(5)
    return Features(rng.standard_normal((channels, *grid.shape)).astype(np.float32), grid)


@pytest.fixture(scope="module")
def dense():
    rng = np.random.default_rng(6)
    masks = np.zeros((9, 120, 200), dtype=bool)
    for mask in masks[1:]:
        y, x = rng.integers(0, 100), rng.integers(0, 180)
        mask[y : y + rng.integers(2, 90), x : x + rng.integers(2, 150)] = True
    return masks  # the first is empty


@every
def test_shapes_dtypes_and_the_empty_mask(pooling, masks_of, features, dense):
    got = pooling.pool(features, masks_of(dense))
    assert got.embeddings.shape == (9, len(features.map)) and got.embeddings.dtype == np.float32
    assert got.coverage.dtype == np.float32 and got.empty.dtype == np.bool_
    assert got.empty.tolist() == [True] + [False] * 8
    assert got.coverage[0] == 0 and not got.embeddings[0].any()
    assert np.isfinite(got.embeddings).all()


@every
def test_no_masks(pooling, masks_of, features):
    got = pooling.pool(features, masks_of(np.zeros((0, 120, 200), dtype=bool)))
    assert (
        got.embeddings.shape == (0, len(features.map)) and len(got.coverage) == len(got.empty) == 0
    )


@every
def test_constant_features_pool_to_that_constant(pooling, masks_of, features, dense):
    constant = np.arange(len(features.map), dtype=np.float32)
    everywhere = np.broadcast_to(constant[:, None, None], features.map.shape)
    got = pooling.pool(Features(everywhere, features.grid), masks_of(dense))
    np.testing.assert_allclose(
        got.embeddings[1:], np.broadcast_to(constant, (8, len(constant))), rtol=1e-5, atol=1e-5
    )


@every
def test_padding_is_ignored(pooling, masks_of, features, dense):
    changed = features.map.copy()
    used = -(-np.array(features.grid.input_size) // features.grid.stride)
    changed[:, used[0] :] = changed[:, :, used[1] :] = 1e9
    assert (changed == 1e9).any()
    full = masks_of(np.ones((1, 120, 200), dtype=bool))
    np.testing.assert_array_equal(
        pooling.pool(features, full).embeddings,
        pooling.pool(Features(changed, features.grid), full).embeddings,
    )


@every
def test_pooling_is_the_same_for_one_or_many_and_for_dense_or_encoded_masks(
    pooling, masks_of, features, dense
):
    together = pooling.pool(features, masks_of(dense))
    np.testing.assert_allclose(
        pool(features, dense, pooling.kind), together.embeddings, rtol=1e-5, atol=1e-6
    )
    for i in range(len(dense)):
        alone = pooling.pool(features, masks_of(dense[i : i + 1]))
        np.testing.assert_allclose(
            alone.embeddings[0], together.embeddings[i], rtol=1e-5, atol=1e-6
        )


@every
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 1), st.integers(0, 2**32 - 1))
def test_embeddings_are_within_the_range_of_the_features(pooling, masks_of, h, w, which, seed):
    rng = np.random.default_rng(seed)
    grid = grids((h, w))[which]
    features = rng.standard_normal((16, *grid.shape)).astype(np.float32)
    mask = rng.random((1, h, w)) < rng.random()
    got = pooling.pool(Features(features, grid), masks_of(mask))
    assert (
        bool(got.empty[0])
        or (
            (got.embeddings[0] <= features.max(axis=(1, 2)) + 1e-4)
            & (got.embeddings[0] >= features.min(axis=(1, 2)) - 1e-4)
        ).all()
    )
    assert got.empty[0] or mask.any()


@every
def test_masks_of_another_image_are_refused(pooling, features):
    with pytest.raises(ValueError, match=r"\(60, 100\) px \(h, w\), the features of one of"):
        pooling.pool(features, np.ones((1, 60, 100), dtype=bool))
