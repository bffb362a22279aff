import numpy as np
import pytest
import torch

from samseg.lab.benchmark.random_weights import random_model, random_settings
from samseg.sam.segmenter import Segmenter
from samseg.sam.settings import MaskSettings


@pytest.fixture(scope="module")
def model():
    return random_model("tiny")


def test_the_model_is_reproducible_and_keeps_the_global_generator(model):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    again = random_model("tiny").state_dict()
    assert torch.rand(1) == expected
    assert all(torch.equal(weights, again[name]) for name, weights in model.state_dict().items())


def test_an_eighth_of_the_candidates_remains(model):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    settings = random_settings(model, MaskSettings(points_per_side=4), pixels)
    masks, _ = Segmenter(model, settings, "cpu").segment(pixels)
    assert len(masks) == pytest.approx(3 * 16 / 8, abs=1)
    assert 0 < settings.pred_iou_thresh < 1 and 0 < settings.stability_score_thresh < 1
