"""The small encoder: size, features, scales, norms and gradients."""

import copy

import pytest
import torch

from samseg.sam.tiny.build import build_tiny
from samseg.sam.tiny.encoder import TinyEncoder


@pytest.fixture(scope="module")
def encoder() -> TinyEncoder:
    torch.manual_seed(0)
    return TinyEncoder(img_size=256).eval()


def test_small_enough_to_ship():
    assert sum(p.numel() for p in build_tiny().parameters()) < 8_000_000


@pytest.mark.parametrize("side", [128, 384, 512])
@torch.inference_mode()
def test_a_normalised_feature_per_patch(encoder, side):
    features = encoder(torch.rand(2, 3, side, side))
    assert features.shape == (2, 256, side // 16, side // 16)
    torch.testing.assert_close(
        features.mean(1), torch.zeros(2, *features.shape[2:]), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        features.std(1), torch.ones(2, *features.shape[2:]), atol=1e-2, rtol=0
    )


@torch.inference_mode()
def test_the_coarsest_scale_is_a_quarter(encoder):
    """With all weight on the coarser scales, only the mean of each 4 x 4 px counts."""
    image = torch.rand(1, 3, 128, 128)
    ripple = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(64, 64)
    share = encoder.coarser.clone()
    try:
        encoder.coarser.fill_(1)
        torch.testing.assert_close(
            encoder.encode_halved(image + ripple), encoder.encode_halved(image)
        )
        encoder.coarser.fill_(0)
        assert not torch.allclose(
            encoder.encode_halved(image + ripple), encoder.encode_halved(image), atol=0.1
        )
    finally:
        encoder.coarser.copy_(share)


def test_norms_track_the_finest_scale_only(encoder):
    """Otherwise evaluation would use statistics that no scale was trained with."""
    image = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    learning, alone = copy.deepcopy(encoder).train(), copy.deepcopy(encoder).train()
    learning.encode_halved(image)
    alone._encode_scale(image)
    for (name, norm), own in zip(learning.named_modules(), alone.modules(), strict=True):
        if isinstance(norm, torch.nn.BatchNorm2d) and not name.startswith("head"):
            torch.testing.assert_close(norm.running_mean, own.running_mean, rtol=0, atol=0)
            assert norm.training


def test_gradients_of_small_windows_are_the_same_every_time(encoder):
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    model = copy.deepcopy(encoder).to(memory_format=torch.channels_last)

    def gradients():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model.encode_halved(image)[0, :100].square().mean()
        return torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)

    for _ in range(10):
        for one, other in zip(gradients(), gradients(), strict=True):
            assert (one is None) == (other is None)
            assert one is None or torch.equal(one, other)
