"""Optimised encoders compared with the models' own, on small ViTs, vit_b and the shipped model."""

import copy
from functools import partial

import pytest
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import ImageEncoderViT
from torch import nn

from samseg.sam.network import vit_encoder as vit
from samseg.sam.network.encoder import ImageEncoder
from samseg.sam.network.vit_encoder import VitEncoder
from samseg.sam.weights.load import build_model

FP32 = 1e-5  # tolerance, relative to the largest feature
BF16 = 0.02  # tolerance, relative to the features' norm; measured 0.008 on vit_b, 0.003 on tiny


def perturbed(module: nn.Module) -> nn.Module:
    """Add noise, so that no bias or position is zero and no two heads or blocks are equal."""
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return module.eval()


def of_predictor(model, image):
    """The reference's features."""
    predictor = SamPredictor(model)
    predictor.set_image(image)
    return predictor.features


def small_vit(
    img_size: int = 1024, window_size: int = 14, embed_dim: int = 64, num_heads: int = 2
) -> ImageEncoderViT:
    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        img_size=img_size,
        embed_dim=embed_dim,
        depth=3,
        num_heads=num_heads,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=window_size,
        global_attn_indexes=(1,),
    )
    return perturbed(encoder)


@torch.inference_mode()
def features_of(encoder: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return encoder(images)


def photos(b: int, img_size: int) -> torch.Tensor:
    return torch.randn(b, 3, img_size, img_size, generator=torch.Generator().manual_seed(4))


def assert_same(got: torch.Tensor, wanted: torch.Tensor) -> None:
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, wanted, rtol=0, atol=FP32 * float(wanted.abs().max()))


def relative_error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    assert got.dtype == torch.float32
    return float((got - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(
    ("img_size", "window_size"),
    [(1024, 14), (448, 14), (160, 14), (256, 16), (320, 7), (256, 0)],
    ids=["SAM's grid", "no padding", "one window", "one whole window", "20 = 2 * 7 + 6", "global"],
)
def test_small_vits(img_size, window_size):
    encoder, images = small_vit(img_size, window_size), photos(2, img_size)
    assert_same(VitEncoder(encoder)(images), features_of(encoder, images))


def test_tile_that_does_not_divide_the_queries(monkeypatch):
    monkeypatch.setattr(vit, "_TILE", 4096 * 101 // torch.get_num_threads())  # 4096 % 101 > 0
    encoder, images = small_vit(), photos(1, 1024)
    assert_same(VitEncoder(encoder)(images), features_of(encoder, images))


def test_folded_and_tiled_attention_agree():
    block = VitEncoder(small_vit(512))._blocks[1]
    q, k, v = torch.randn(3, 4, 32 * 32, 32, generator=torch.Generator().manual_seed(5))
    rel_h, rel_w = torch.randn(2, 4, 32 * 32, 32, generator=torch.Generator().manual_seed(6))
    bias = (rel_h[..., None] + rel_w[..., None, :]).flatten(-2)
    scores = (q @ k.mT + bias) * 32**-0.5
    wanted = scores.softmax(dim=-1) @ v
    assert_same(block._folded_attention(q, k, v, rel_h, rel_w), wanted)
    assert_same(vit._tiled_attention(q, k, v, rel_h, rel_w), wanted)


@pytest.mark.parametrize(("img_size", "b"), [(1024, 1), (320, 2)])
def test_bfloat16_is_close(img_size, b):
    encoder, images = small_vit(img_size), photos(b, img_size)
    got = VitEncoder(encoder, torch.bfloat16)(images)
    assert 0 < relative_error(got, features_of(encoder, images)) < BF16


@pytest.mark.parametrize(("embed_dim", "num_heads"), [(768, 12), (80, 1)], ids=["vit_b", "vit_h"])
def test_head_dimensions_of(embed_dim, num_heads):
    encoder, images = small_vit(512, 14, embed_dim, num_heads), photos(1, 512)
    wanted = features_of(encoder, images)
    assert_same(VitEncoder(encoder)(images), wanted)
    lower = VitEncoder(encoder, torch.bfloat16)(images)
    assert 0 < relative_error(lower, wanted) < BF16


@pytest.mark.slow
def test_vit_b(scene):
    torch.manual_seed(0)
    model = build_model("vit_b")
    model.image_encoder.blocks = model.image_encoder.blocks[:3]  # the third is a global one
    perturbed(model.image_encoder)
    image = scene(70, 100)
    wanted = of_predictor(model, image)
    assert_same(ImageEncoder.of(model).encode(image).features, wanted)


@pytest.fixture(scope="module")
def tinies(tiny):
    """The shipped tiny SAM, and a copy with perturbed weights and statistics."""
    torch.manual_seed(0)
    other = copy.deepcopy(tiny)
    perturbed(other.image_encoder)
    for name, statistic in other.image_encoder.named_buffers():
        if "running" in name:
            statistic += 0.3 * torch.rand_like(statistic)
    return tiny, other


@pytest.mark.parametrize("b", [1, 2])
def test_tiny(tinies, b):
    for model in tinies:
        images = photos(b, 1024)
        wanted = features_of(model.image_encoder, images)
        assert_same(ImageEncoder.of(model).backbone(images), wanted)
        assert_same(ImageEncoder.of(model, torch.bfloat16).backbone(images), wanted)


def test_the_model_is_not_modified(tiny):
    names = list(tiny.state_dict())
    before = {name: weight.clone() for name, weight in tiny.state_dict().items()}
    modules = [type(module) for module in tiny.modules()]
    encoder = ImageEncoder.of(tiny)
    encoder.backbone(photos(1, 1024))
    assert list(tiny.state_dict()) == names
    assert [type(module) for module in tiny.modules()] == modules
    for name, weight in tiny.state_dict().items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("size", [(300, 450), (450, 300), (1500, 1100), (1, 1)])
def test_features_are_the_predictor_s(tiny, scene, size):
    image = scene(*size)
    predictor = SamPredictor(tiny)
    predictor.set_image(image)
    encoded = ImageEncoder.of(tiny).encode(image)
    assert encoded.features.shape == (1, 256, 64, 64)
    assert encoded.geometry.original_size == size
    assert encoded.geometry.input_size == predictor.input_size
    assert_same(encoded.features, predictor.features)


def test_batch_of_images_of_different_sizes(tiny, scene):
    images = [scene(60, 90), scene(90, 60, seed=1), scene(64, 64, seed=2)]
    encoder = ImageEncoder.of(tiny)
    batch = encoder.encode_batch(images)
    assert len(batch) == 3
    for encoded, image in zip(batch, images, strict=True):
        assert encoded.geometry.original_size == image.shape[:2]
        assert_same(encoded.features, of_predictor(tiny, image))


class Blur(nn.Module):
    """An image encoder that samseg does not know."""

    img_size = 1024

    def __init__(self):
        super().__init__()
        self.blur = nn.Conv2d(3, 256, kernel_size=16, stride=16)

    def forward(self, x):
        return self.blur(x)


def test_unknown_encoder_is_used_unchanged(tiny, scene):
    model = copy.deepcopy(tiny)
    model.image_encoder = Blur()
    image = scene(60, 90)
    wanted = of_predictor(model, image)
    got = ImageEncoder.of(model).encode(image).features
    torch.testing.assert_close(got, wanted, rtol=0, atol=0)
    lower = ImageEncoder.of(model, torch.bfloat16).encode(image).features
    assert 0 < relative_error(lower, wanted) < BF16
