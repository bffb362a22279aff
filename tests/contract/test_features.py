"""What every kind of named embedding promises."""

from typing import get_args

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from samseg.features import (
    EfficientNetLite0Embedding,
    Embedder,
    NamedEmbedding,
    SamEmbedding,
    TimmEmbedding,
)
from samseg.sam.weights.digest import sha256_of

KINDS = ["efficientnet_lite0", "sam", "timm_cnn", "timm_vit"]


@pytest.fixture(scope="module")
def spec_of(tmp_path_factory):
    """Return a spec by name; models of `timm` have random weights in a file."""

    def random(model, **settings):
        torch.manual_seed(1)
        path = tmp_path_factory.mktemp("weights") / f"{model}.safetensors"
        save_file(timm.create_model(model).state_dict(), path)
        return TimmEmbedding(model=model, weights=str(path), sha256=sha256_of(path), **settings)

    made = {
        "efficientnet_lite0": EfficientNetLite0Embedding,
        "sam": SamEmbedding,
        "timm_cnn": lambda: random("resnet18", layers=(-2, -1), long_side=224),
        "timm_vit": lambda: random("vit_tiny_patch16_224", layers=(3, -1), long_side=160),
    }
    found = {}
    return lambda kind: found.setdefault(kind, made[kind]())


@pytest.fixture(scope="module", params=KINDS)
def spec(request, spec_of):
    return spec_of(request.param)


@pytest.fixture(scope="module")
def embedder(spec):
    return Embedder.load(spec, "cpu")


@pytest.fixture(scope="module")
def photo():
    y, x = np.mgrid[:90, :130]
    waves = np.stack([np.sin(x / 7), np.cos(y / 5), np.sin((x + y) / 9)], axis=-1)
    return np.uint8(127 + 100 * waves)


@pytest.fixture(scope="module")
def dense():
    masks = np.zeros((4, 90, 130), dtype=bool)
    masks[1, 20:70, 30:60] = True
    masks[2, 40, 40] = True  # smaller than a patch of any kind
    masks[3] = True
    return masks  # the first is empty


def test_every_kind_has_a_case(spec_of):
    kinds = {
        get_args(k.model_fields["kind"].annotation)[0]
        for k in get_args(get_args(NamedEmbedding)[0])
    }
    assert {spec_of(kind).kind for kind in KINDS} == kinds


def test_one_vector_per_mask_and_none_for_an_empty_mask(embedder, photo, dense):
    got = embedder.embed(photo, dense)
    assert got.vectors.shape == (4, embedder.network.dimension)
    assert got.vectors.dtype == np.float32
    assert got.statuses == ("empty", "ok", "ok", "ok")
    assert np.isfinite(got.vectors).all() and not got.vectors[0].any()
    assert (np.linalg.norm(got.vectors[1:], axis=1) > 1e-3).all()


def test_features_lie_on_the_image(embedder, photo):
    features = embedder.network.encode(photo)
    assert features.grid.image_size == (90, 130)
    assert features.map.dtype == np.float32
    used = -(-np.array(features.grid.input_size) // features.grid.stride)
    assert (used <= features.grid.shape).all() and (used > 0).all()


def test_a_mask_embeds_alone_as_in_company(embedder, photo, dense):
    together = embedder.embed(photo, dense).vectors
    for i, mask in enumerate(dense):
        alone = embedder.embed(photo, mask[None]).vectors[0]
        np.testing.assert_allclose(alone, together[i], rtol=1e-4, atol=1e-5)


def test_no_masks(embedder, photo):
    got = embedder.embed(photo, np.zeros((0, 90, 130), dtype=bool))
    assert got.vectors.shape == (0, embedder.network.dimension) and got.statuses == ()


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1)])
def test_the_smallest_and_the_thinnest_image(embedder, size):
    got = embedder.embed(np.full((*size, 3), 90, np.uint8), np.ones((1, *size), dtype=bool))
    assert got.statuses == ("ok",)


def test_features_that_are_not_finite_have_a_status(embedder, photo, dense, monkeypatch):
    features = embedder.network.encode(photo)
    features.map[0, 0, 0] = np.nan
    monkeypatch.setattr(type(embedder.network), "encode", lambda self, pixels: features)
    got = embedder.embed(photo, dense[3:])
    assert got.statuses == ("nonfinite",) and not got.vectors.any()


def test_the_recipe_names_what_determines_the_vectors(spec):
    recipe = spec.recipe()
    assert recipe["kind"] == spec.kind and len(recipe["weights_sha256"]) == 64
    assert "name" not in recipe and "weights" not in recipe
    assert recipe == spec.model_copy(update={"name": "another"}).recipe()
    assert recipe["pooling"] == spec.pooling.model_dump(mode="json")
