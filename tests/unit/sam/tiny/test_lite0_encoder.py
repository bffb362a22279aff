"""The second small encoder: size, features, padding, fused form and loading."""

import copy

import pytest
import torch
from safetensors.torch import save_file

from samseg.backbones import efficientnet_lite0
from samseg.sam.tiny.build import build_tiny
from samseg.sam.tiny.fused import fused
from samseg.sam.tiny.lite0_encoder import Lite0Encoder
from samseg.sam.weights.load import architecture_of, load_model


@pytest.fixture(scope="module")
def encoder() -> Lite0Encoder:
    """An encoder without zero-initialised layers, as after training."""
    torch.manual_seed(0)
    made = Lite0Encoder(img_size=512).eval()
    made.trunk.load_state_dict(efficientnet_lite0.load().state_dict())
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return made


def test_small_enough_to_ship():
    assert sum(p.numel() for p in build_tiny(encoder=Lite0Encoder).parameters()) < 8_500_000


@pytest.mark.parametrize("side", [128, 384, 512])
@torch.inference_mode()
def test_a_normalised_feature_per_patch(encoder, side):
    features = encoder(torch.rand(2, 3, side, side))
    shape = side // 16, side // 16
    assert features.shape == (2, 256, *shape)
    torch.testing.assert_close(features.mean(1), torch.zeros(2, *shape), atol=1e-5, rtol=0)
    torch.testing.assert_close(features.std(1), torch.ones(2, *shape), atol=1e-2, rtol=0)


@torch.inference_mode()
def test_nothing_attends_to_padding(encoder):
    """Attention of the other positions does not depend on the content of the padding."""
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    x = encoder.context[1].norm.weight.new_ones(1, 256, 4, 4) * torch.arange(16.0).view(1, 1, 4, 4)
    inside = torch.zeros(1, 4, 4, dtype=torch.bool)
    inside[:, :, :2] = True
    changed = torch.where(inside[:, None], x, torch.randn(1, 256, 4, 4))
    one, other = encoder.context[1](x, inside), encoder.context[1](changed, inside)
    torch.testing.assert_close(one[..., :2], other[..., :2])
    assert torch.isfinite(encoder(torch.zeros_like(image))).all()  # all of it padding


@torch.inference_mode()
def test_the_fused_encoder_gives_the_same_features(encoder):
    image = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    image[..., 300:, :] = 0
    before = copy.deepcopy(encoder.state_dict())
    torch.testing.assert_close(fused(encoder)(image), encoder(image), atol=1e-4, rtol=1e-4)
    assert all(value.equal(encoder.state_dict()[name]) for name, value in before.items())


def test_training_keeps_the_trunks_statistics(encoder):
    learning = copy.deepcopy(encoder).train()
    learning(torch.rand(2, 3, 128, 128))
    for name, value in learning.trunk.named_buffers():
        assert value.equal(encoder.trunk.get_buffer(name)), name


def test_the_loader_recognises_it(tmp_path):
    made = build_tiny(encoder=Lite0Encoder)
    path = tmp_path / "mine.safetensors"
    save_file(made.state_dict(), path)
    assert architecture_of(made.state_dict(), path) == "tiny"
    for arch in (None, "tiny"):
        loaded = load_model(path, arch=arch)
        assert isinstance(loaded.image_encoder, Lite0Encoder)
        for name, value in made.state_dict().items():
            assert value.equal(loaded.state_dict()[name]), name
