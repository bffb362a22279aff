"""The objective of one micro-batch: its prompts, losses and metrics."""

import numpy as np
import pytest
import torch

from samseg.lab.pretraining import objective as module
from samseg.lab.pretraining.examples import Shape, example
from samseg.lab.pretraining.loss_weights import Weights
from samseg.lab.pretraining.objective import PromptPlan, objective
from samseg.lab.pretraining.training_image import Region, TrainingImage
from samseg.sam.weights.load import load_model

EMPTY_MEMORY = torch.zeros(0, 256), torch.zeros(0, dtype=torch.int64)


@pytest.fixture(scope="module")
def model():
    return load_model("tiny").train()


@pytest.fixture(scope="module")
def batch():
    """Two windows with a bright disc of kind 7 on dark background."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    disc = (x - 30) ** 2 + (y - 34) ** 2 < 18**2
    pixels = np.where(disc[..., None], 220, 40).astype(np.uint8).repeat(3, axis=2)
    image = TrainingImage(pixels, (Region(disc, 7),))
    made = [example(image, rng, Shape(window=128, clicks=2, uses=1)) for _ in range(2)]
    return {name: torch.stack([one[name] for one in made]) for name in made[0]}


def run(model, batch, weights=None, **plan):
    given = PromptPlan(**({"boxes": False, "corrections": 0, "seed": 0} | plan))
    return objective(model, batch, given, weights or Weights(), EMPTY_MEMORY)


@pytest.mark.parametrize("boxes", [False, True])
@pytest.mark.parametrize("corrections", [0, 2])
def test_every_prompt_plan_has_gradients(model, batch, boxes, corrections):
    losses = run(model, batch, boxes=boxes, corrections=corrections)
    assert ("corrected" in losses.figures) == (corrections > 0)
    assert losses.figures["mask"] > 0
    assert 0 <= losses.figures["chosen"] <= losses.figures["best"] <= 1
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(losses.loss, parameters, allow_unused=True)
    assert any(g is not None and g.abs().sum() > 0 for g in gradients)


def test_losses_are_in_float32(model, batch, monkeypatch):
    """In bfloat16 the terms of focal loss cancel into noise, sometimes below zero."""

    def watched(logits, targets):
        assert not torch.is_autocast_enabled("cpu")
        assert logits.dtype == targets.dtype == torch.float32
        return costs(logits, targets)

    costs = module.mask_costs
    monkeypatch.setattr(module, "mask_costs", watched)
    run(model, batch, corrections=1)


def test_embeddings_are_those_of_known_kinds(model, batch):
    losses = run(model, batch)
    assert set(losses.kinds.tolist()) == {7}
    assert losses.embeddings.shape == (len(losses.kinds), 256)
    assert not losses.embeddings.requires_grad


def test_losses_are_weighted(batch):
    model = load_model("tiny")  # in evaluation mode, so that the norms stay
    without = run(model, batch, Weights(iou=0, kind=0, patches=0))
    with_iou = run(model, batch, Weights(iou=2, kind=0, patches=0))
    difference = float((with_iou.loss - without.loss).detach())
    assert difference == pytest.approx(2 * float(without.figures["iou"]), rel=1e-3)
    one, three = (run(model, batch, Weights(chosen=w, iou=0, kind=0, patches=0)) for w in (1, 3))
    half = float((one.loss - without.loss).detach())  # from 0.5 to 1
    assert half > 0
    assert float((three.loss - one.loss).detach()) == pytest.approx(4 * half, rel=1e-3)
    grouped = run(model, batch, Weights(iou=0, kind=0, patches=3))
    difference = float((grouped.loss - without.loss).detach())
    assert difference == pytest.approx(3 * float(grouped.figures["patches"]), rel=1e-3)
