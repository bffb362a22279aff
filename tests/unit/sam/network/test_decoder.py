"""Predicted IoU and logits compared with the reference, on vit_b with random weights and tiny."""

import copy

import pytest
import torch

from samseg.sam.network.decoder import Decoder
from samseg.sam.weights.load import build_model


@pytest.fixture(scope="module")
def vit_b():
    torch.manual_seed(0)
    model = build_model("vit_b")
    for parameter in model.mask_decoder.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)  # no bias is zero
    return model


@torch.inference_mode()
def both(model, features, points, box=None, masks=None):
    """Predicted IoU (b, 4) and logits (b, 4, 256, 256) of the reference and of samseg."""
    labels = torch.ones(points.shape[:2])
    sparse, dense = model.prompt_encoder(points=(points, labels), boxes=box, masks=masks)
    wanted_logits, wanted_iou = model.mask_decoder.predict_masks(
        features, model.prompt_encoder.get_dense_pe(), sparse, dense
    )
    decoder = Decoder(model)
    ious, logits = [], []
    for i in range(len(dense)) if masks is not None else [slice(None)]:
        one = slice(i, i + 1) if masks is not None else i
        image = decoder.image_cache(features, dense[one][:1])
        decoded = decoder.decode(image, sparse[one], slice(0, 4))
        ious.append(decoded.predicted_iou)
        logits.append(decoder.logits(image, decoded, torch.arange(len(sparse[one]))))
    return wanted_iou, wanted_logits, torch.cat(ious), torch.cat(logits)


def test_masks_of_vit_b(vit_b):
    points = torch.tensor([[[100.0, 200.0]], [[900.0, 500.0]]], dtype=torch.float64)
    features = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(0))
    wanted_iou, wanted, iou, logits = both(vit_b, features, points)
    torch.testing.assert_close(iou, wanted_iou, rtol=0, atol=1e-5)
    torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


def prompts(kind):
    torch.manual_seed(1)
    points = torch.rand(3, 20 if "many" in kind else 2, 2) * 1024
    box = torch.tensor([[10.0, 20.0, 500.0, 700.0]] * 3) if "box" in kind else None
    masks = torch.randn(3, 1, 256, 256) * 4 if "mask" in kind else None
    return points, box, masks


@torch.inference_mode()
def in_float64(model, features, points, box, masks):
    """The reference's logits with everything after the prompt encoder in float64."""
    sparse, dense = model.prompt_encoder((points, torch.ones(points.shape[:2])), box, masks)
    decoder = copy.deepcopy(model.mask_decoder).double()
    position = model.prompt_encoder.get_dense_pe()
    return decoder.predict_masks(*(x.double() for x in (features, position, sparse, dense)))


def rms(x):
    return float(x.double().square().mean().sqrt())


@pytest.mark.parametrize("arch", ["vit_b", "tiny"])
@pytest.mark.parametrize(
    "kind", ["points", "points, box", "points, mask", "points, box, mask", "many points"]
)
def test_error_against_float64_is_comparable_to_the_reference_s(request, arch, kind):
    model = request.getfixturevalue(arch)
    features = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(2))
    _, wanted, iou, logits = both(model, features, *prompts(kind))
    true, true_iou = in_float64(model, features, *prompts(kind))
    assert rms(logits - true) < 3 * rms(wanted - true)
    assert rms(logits - true) < 5e-6 * rms(true)  # an absolute limit, which depends on the weights
    torch.testing.assert_close(iou.double(), true_iou, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(1024, 1024), (683, 1024), (1024, 500), (1, 1024), (700, 333)])
def test_subsets_of_prompts_masks_and_positions_equal_the_full_result(tiny, size):
    features = torch.randn(1, 256, 64, 64)
    with torch.inference_mode():
        sparse, dense = tiny.prompt_encoder((torch.rand(4, 1, 2), torch.ones(4, 1)), None, None)
        decoder = Decoder(tiny)
        image = decoder.image_cache(features, dense[:1])
        decoded = decoder.decode(image, sparse, slice(0, 4))
        everything = decoder.logits(image, decoded, torch.arange(4))
        three = decoder.decode(image, sparse, slice(1, None))
        some = decoder.logits(image, three, torch.tensor([3, 1]))
        torch.testing.assert_close(some, everything[[3, 1], 1:], rtol=0, atol=1e-5)
        cropped = decoder.image_cache(features, dense[:1], size)
        all_masks = decoder.decode(cropped, sparse, slice(0, 4))
        part = decoder.logits(cropped, all_masks, torch.arange(4))
        h, w = part.shape[2:]
        assert (h, w) == tuple(min(256, 4 * (side // 16 + 1)) for side in size)
        torch.testing.assert_close(part, everything[..., :h, :w], rtol=0, atol=1e-5)
