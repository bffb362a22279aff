"""The default embedding, compared with timm's own EfficientNet-Lite0."""

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from samseg.backbones import efficientnet_lite0 as backbone
from samseg.features import EfficientNetLite0Embedding, TimmEmbedding
from samseg.features.efficientnet_lite0 import projection, random_projection
from samseg.sam.weights.digest import sha256_of

MODEL = "tf_efficientnet_lite0"


def published_names(trunk):
    """Return the trunk's weights under timm's names."""
    own = {}
    stages = [(s, b) for s, blocks in enumerate((1, 2, 2, 3, 3, 4)) for b in range(blocks)]
    for name, value in trunk.state_dict().items():
        place, *rest = name.split(".")
        if place == "stem":
            renamed = {"conv": "conv_stem", "norm": "bn1"}[rest[0]]
            own[f"{renamed}.{rest[1]}"] = value
            continue
        stage, block = stages[int(rest[0])]
        layers = ("depthwise", "project") if stage == 0 else ("expand", "depthwise", "project")
        convolutions = ("conv_dw", "conv_pw") if stage == 0 else ("conv_pw", "conv_dw", "conv_pwl")
        at = layers.index(rest[1])
        layer = convolutions[at] if rest[2] == "conv" else f"bn{at + 1}"
        own[f"blocks.{stage}.{block}.{layer}.{rest[3]}"] = value
    return own


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """timm's own model with the trunk's weights, and the file of them; the rest is random."""
    torch.manual_seed(0)
    model = timm.create_model(MODEL).eval()
    own = published_names(backbone.load())
    missing, unexpected = model.load_state_dict(own, strict=False)
    assert not unexpected
    assert {name.split(".")[0] + "." + name.split(".")[1] for name in missing} <= {
        "blocks.6", "conv_head.weight", "classifier.weight", "classifier.bias",
        *(f"bn2.{p}" for p in ("weight", "bias", "running_mean", "running_var")),
        "bn2.num_batches_tracked",
    }  # fmt: skip
    path = tmp_path_factory.mktemp("lite0") / "lite0.safetensors"
    save_file(model.state_dict(), path)
    return model, path


@pytest.fixture(scope="module")
def photo():
    from skimage.data import coffee

    return coffee()[:300, :500]


def test_features_are_those_of_timm_s_architecture(theirs, photo):
    model, _ = theirs
    ours = EfficientNetLite0Embedding().load("cpu")
    images, _ = ours._place(photo)
    tensor = torch.from_numpy(images)[None].permute(0, 3, 1, 2)
    with torch.inference_mode():
        x = model.bn1(model.conv_stem(tensor))
        wanted = []
        for stage in model.blocks[:6]:
            x = stage(x)
            wanted.append(x)
        got = ours.maps(tensor)
    torch.testing.assert_close(got[0], wanted[4], atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(got[1], wanted[5], atol=2e-4, rtol=1e-4)


def test_the_kind_timm_gives_the_same_map(theirs, photo):
    ours = EfficientNetLite0Embedding().load("cpu")
    spec = TimmEmbedding(
        model=MODEL, layers=(3,), long_side=640, weights=str(theirs[1]), sha256=sha256_of(theirs[1])
    )
    other = spec.load("cpu")
    assert (other.strides, other.channels) == ((16,), (112,))
    # timm normalises by 127.5, the published weights were trained with 127 and 128
    features = [n.encode(photo) for n in (ours, other)]
    assert features[0].grid.input_size == features[1].grid.input_size
    mine, its = (f.map[:112].reshape(112, -1) for f in features)
    assert mine.shape == its.shape
    cosine = (mine * its).sum(0) / np.linalg.norm(mine, axis=0) / np.linalg.norm(its, axis=0)
    assert cosine.min() > 0.99


def test_the_projection_keeps_lengths_and_can_be_made_again():
    matrix = projection()
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(256), atol=1e-3)
    np.testing.assert_allclose(matrix, random_projection(), atol=3e-4)


def test_like_things_are_nearer_than_unlike_ones():
    from skimage.data import chelsea, coffee

    from samseg.features import Embedder

    embedder = Embedder.load(EfficientNetLite0Embedding(), "cpu")
    cup, cat = coffee(), chelsea()
    halves = []
    for pixels in (cup, cat):
        h, w = pixels.shape[:2]
        masks = np.zeros((2, h, w), dtype=bool)
        masks[0, :, : w // 2] = masks[1, :, w // 2 :] = True
        halves.append(embedder.embed(pixels, masks).vectors)
    cups, cats = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in halves)
    assert min(cups[0] @ cups[1], cats[0] @ cats[1]) > (cups @ cats.T).max() + 0.1
