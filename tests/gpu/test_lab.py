"""Training and evaluation on the GPU."""

import copy

import numpy as np
import pytest
import torch

from samseg.demo.scenes import draw_scene
from samseg.lab.evaluation.masks.clicks import boxes, corrected, one_click
from samseg.lab.evaluation.masks.truth import Truth
from samseg.lab.labelled import LabelledPhoto
from samseg.lab.pretraining.examples import Shape, example
from samseg.lab.pretraining.loss_weights import Weights
from samseg.lab.pretraining.objective import PromptPlan, objective
from samseg.lab.pretraining.optimizer import MatrixOptimizer
from samseg.lab.pretraining.training_image import Region, TrainingImage
from samseg.sam.weights.load import load_model


def training_batch():
    """Two windows with a bright disc of kind 7 on dark background."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    disc = (x - 30) ** 2 + (y - 34) ** 2 < 18**2
    pixels = np.where(disc[..., None], 220, 40).astype(np.uint8).repeat(3, axis=2)
    image = TrainingImage(pixels, (Region(disc, 7),))
    made = [example(image, rng, Shape(window=128, clicks=2, uses=1)) for _ in range(2)]
    return {name: torch.stack([one[name] for one in made]) for name in made[0]}


def loss_of(model, device, **plan):
    batch = {name: tensor.to(device) for name, tensor in training_batch().items()}
    known = torch.zeros(0, 256, device=device), torch.zeros(0, dtype=torch.int64, device=device)
    given = PromptPlan(**({"boxes": False, "corrections": 0, "seed": 0} | plan))
    return objective(model, batch, given, Weights(), known)


@pytest.mark.parametrize("with_boxes", [False, True])
def test_losses_equal_the_cpus(cuda, cpu, with_boxes):
    model = load_model("tiny")  # in evaluation mode, so that both use the same norms
    wanted = loss_of(model, cpu, boxes=with_boxes)
    found = loss_of(copy.deepcopy(model).to(cuda), cuda, boxes=with_boxes)
    assert found.loss.item() == pytest.approx(wanted.loss.item(), rel=0.05)
    for name, value in wanted.figures.items():
        if name == "chosen":  # of two masks with nearly the same predicted IoU, either
            continue
        assert float(found.figures[name]) == pytest.approx(float(value), rel=0.1, abs=0.02), name
    assert found.embeddings.device.type == found.kinds.device.type == cuda.type


def test_steps_lower_the_loss(cuda):
    model = load_model("tiny").to(cuda, memory_format=torch.channels_last)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = MatrixOptimizer({"all": parameters}, weight_decay=0.01)
    before = loss_of(model, cuda).loss.item()
    for seed in range(4):
        model.train()
        given = {"boxes": bool(seed % 2), "corrections": seed % 3, "seed": seed}
        loss = loss_of(model, cuda, **given).loss
        grads = torch.autograd.grad(loss, parameters, allow_unused=True)
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = grad
        assert all(g is None or torch.isfinite(g).all() for g in grads)
        optimizer.step({"all": 3e-4})
    assert loss_of(model.eval(), cuda).loss.item() < before


def test_a_run_resumes(cuda, tmp_path):
    pytest.importorskip("obstore", reason="the settings of a run import object stores")
    from samseg.lab.pretraining.settings import Pretraining
    from samseg.lab.pretraining.trainer import Trainer
    from samseg.progress import Silent

    settings = Pretraining.model_validate(
        {
            "output": str(tmp_path),
            "scenes": {"kinds": 20, "pasted": 0.0, "photographic": 0.0},
            "stages": [{"steps": 3, "window": 128, "pictures": 2, "clicks": 2}],
            "warmup": 1,
            "loaders": 1,
            "sheet_every": 2,
            "device": cuda.type,
        }
    )
    trainer = Trainer(settings, Silent())
    trainer.run()
    again = Trainer(settings, Silent())
    for one, other in zip(trainer.model.parameters(), again.model.parameters(), strict=True):
        assert one.device == other.device
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_evaluation_equals_the_cpus(load, cuda, cpu):
    scene = draw_scene(3, (240, 320), objects=(4, 6))
    photo = LabelledPhoto("scene", scene.pixels, scene.instances, {})
    truth = Truth.choose(photo, 8, seed=0)
    scores = []
    for device in (cpu, cuda):
        segmenter = load(device)
        clicked = one_click(segmenter, photo.pixels, truth)
        scores.append(
            (
                clicked.true_iou.ravel(),
                clicked.predicted_iou.ravel(),
                boxes(segmenter, photo.pixels, truth),
                corrected(segmenter, photo.pixels, truth, clicks=2)[0],
            )
        )
    for wanted, found in zip(*scores, strict=True):
        np.testing.assert_allclose(found, wanted, atol=0.02)
