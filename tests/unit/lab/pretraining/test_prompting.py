"""Prompting of windows, compared with `segment_anything` on the whole input."""

import pytest
import torch

from samseg.lab.pretraining.prompting import WindowPrompter, correction, encode
from samseg.sam.tiny.build import build_tiny


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_tiny().requires_grad_(False)


def prompts(n, kind):
    points = torch.rand(n, 2, 2) * 1024, torch.tensor([[1.0, 0.0]]).expand(n, 2)
    boxes = torch.rand(n, 4) * 512 + torch.tensor([0, 0, 512, 512])
    masks = torch.randn(n, 1, 256, 256)
    return {
        "points": (points, None, None),
        "boxes": (None, boxes, None),
        "all": (points, boxes, masks),
    }[kind]


@pytest.mark.parametrize("kind", ["points", "boxes", "all"])
def test_on_the_whole_input_it_equals_sam(model, kind):
    torch.manual_seed(1)
    features = torch.randn(2, 256, 64, 64)
    points, boxes, masks = prompts(4, kind)
    window = WindowPrompter(model, features, torch.zeros(2, 2, dtype=torch.int64))
    logits, iou = window.predict(2, points, boxes, masks)
    for image in range(2):
        own = slice(2 * image, 2 * image + 2)
        sparse, dense = model.prompt_encoder(
            points=None if points is None else (points[0][own], points[1][own]),
            boxes=None if boxes is None else boxes[own],
            masks=None if masks is None else masks[own],
        )
        wanted, wanted_iou = model.mask_decoder.predict_masks(
            features[image : image + 1],
            model.prompt_encoder.get_dense_pe(),
            sparse,
            dense,
        )
        torch.testing.assert_close(logits[own], wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(iou[own], wanted_iou, rtol=1e-4, atol=1e-4)


def test_a_window_has_the_encoding_of_its_position(model):
    torch.manual_seed(2)
    features = torch.randn(1, 256, 8, 8)
    encoding = model.prompt_encoder.get_dense_pe()[0]
    window = WindowPrompter(model, features, torch.tensor([[32, 160]]))
    torch.testing.assert_close(window._encodings[0], encoding[:, 10:18, 2:10])


def test_encoding_a_halved_input_equals_the_encoder(model):
    torch.manual_seed(3)
    halved = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    whole = halved.repeat_interleave(2, 2).repeat_interleave(2, 3).float()
    wanted = model.image_encoder((whole - model.pixel_mean) / model.pixel_std)
    torch.testing.assert_close(encode(model, halved), wanted, rtol=1e-4, atol=1e-4)


def test_corrections_are_drawn_from_the_error():
    targets = torch.zeros(3, 16, 16)
    targets[:, 4:8, 4:8] = 1
    logits = targets.clone() * 2 - 1
    logits[0, 5, 6] = -1  # missing
    logits[1, 12, 3] = 1  # outside; the third has no error
    xy, labels = correction(logits, targets, torch.Generator().manual_seed(4))
    assert xy[:2].tolist() == [[6, 5], [3, 12]]
    assert labels[:2].tolist() == [True, False]
    x, y = xy[2].tolist()
    assert bool(labels[2]) == bool(targets[2, y, x])
