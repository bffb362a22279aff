"""Similarity of masks as a training target."""

import pytest
import torch

from samseg.lab.pretraining.likeness import TrunkLikeness, likeness_loss


def test_only_similarities_are_compared():
    """Rotation, scale and an offset of all embeddings change no centred cosine."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(6, 8, generator=generator)
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=generator)).Q
    assert likeness_loss(3 * features @ rotation + 2, features) < 1e-10
    assert likeness_loss(features.flip(0), features) > 0.01


def test_the_gradient_brings_similarities_closer():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(6, 8, generator=generator)
    embeddings = torch.randn(6, 4, generator=generator, requires_grad=True)
    losses = []
    for _ in range(20):
        loss = likeness_loss(embeddings, features)
        (gradient,) = torch.autograd.grad(loss, embeddings)
        embeddings = (embeddings - 2 * gradient).detach().requires_grad_()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("masks", [1, 2])
def test_one_or_two_masks_have_a_finite_loss(masks):
    embeddings = torch.randn(masks, 4, requires_grad=True)
    likeness_loss(embeddings, torch.randn(masks, 8)).backward()
    assert embeddings.grad.isfinite().all()


def test_masks_of_one_texture_are_alike():
    """Two squares of one chequered texture, and one of stripes, on grey."""
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    image = torch.full((3, 128, 128), 128, dtype=torch.uint8)
    chequered, striped = ((x // 4 + y // 4) % 2 * 255).byte(), (x // 16 % 2 * 90).byte()
    places = [(8, 8), (8, 72), (72, 40)]
    targets = torch.zeros(1, 3, 64, 64)
    for i, (texture, (top, left)) in enumerate(
        zip((chequered, chequered, striped), places, strict=True)
    ):
        box = slice(top, top + 48), slice(left, left + 48)
        image[(slice(None), *box)] = texture[box]
        targets[0, i, top // 2 : top // 2 + 24, left // 2 : left // 2 + 24] = 1
    trunk = TrunkLikeness()
    features = trunk(image[None], targets)
    assert features.shape == (1, 3, 304)
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
    same, other = features[0, 0] @ features[0, 1], features[0, 0] @ features[0, 2]
    assert same > other + 0.2
