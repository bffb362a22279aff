"""The optimizer: what counts as a matrix, step sizes, and resuming."""

import copy

import pytest
import torch
from torch import nn

from samseg.lab.pretraining.optimizer import MatrixOptimizer


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(48, 40, 1),
        nn.Conv2d(40, 40, 3, padding=1, groups=40),
        nn.Flatten(),
        nn.Linear(40, 36),
        nn.Linear(36, 1),
    ).to(memory_format=torch.channels_last)


def backward(model, seed):
    generator = torch.Generator().manual_seed(seed)
    model.zero_grad()
    model(torch.randn(4, 48, 1, 1, generator=generator)).square().mean().backward()


def moved(model, before):
    return {name: p.detach() - before[name] for name, p in model.named_parameters()}


def copied(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_the_update_of_a_matrix_is_orthogonalised(model):
    optimizer = MatrixOptimizer({"all": list(model.parameters())}, weight_decay=0.0)
    before = copied(model)
    sizes = torch.tensor([10.0, 5.0, 2.0, 1.0])
    for name in ("0.weight", "3.weight"):
        weight = model.get_parameter(name)
        left, right = (torch.linalg.qr(torch.randn(n, 4)).Q for n in weight.shape[:2])
        weight.grad = ((left * sizes) @ right.T).reshape(weight.shape)
    optimizer.step({"all": 0.01})
    for name in ("0.weight", "3.weight"):
        step = moved(model, before)[name].flatten(1)
        singular = torch.linalg.svdvals(step)
        assert singular[0] < 2 * singular[3]
        assert float((step * model.get_parameter(name).grad.flatten(1)).sum()) < 0


def test_other_weights_are_stepped_by_adamw(model):
    optimizer = MatrixOptimizer({"all": list(model.parameters())}, weight_decay=0.1)
    backward(model, 0)
    others = {"0.bias", "1.weight", "1.bias", "3.bias", "4.weight", "4.bias"}
    alone = {name: nn.Parameter(p.detach().clone()) for name, p in model.named_parameters()}
    for name in others:
        alone[name].grad = model.get_parameter(name).grad.clone()
    reference = torch.optim.AdamW(
        [alone[name] for name in others], lr=0.01, weight_decay=0.1, betas=(0.9, 0.98)
    )
    reference.step()
    optimizer.step({"all": 0.01})
    for name in others:
        torch.testing.assert_close(model.get_parameter(name), alone[name])


def test_updates_of_a_matrix_have_the_magnitude_of_adamws(model):
    optimizer = MatrixOptimizer({"all": list(model[3].parameters())}, weight_decay=0.0)
    before = model[3].weight.detach().clone()
    model[3].weight.grad = torch.randn(36, 40, generator=torch.Generator().manual_seed(0))
    optimizer.step({"all": 0.01})
    rms = float((model[3].weight.detach() - before).square().mean().sqrt())
    assert 0.1 * 0.01 < rms < 0.4 * 0.01


def test_weights_without_a_gradient_stay(model):
    optimizer = MatrixOptimizer({"all": list(model.parameters())}, weight_decay=0.1)
    before = copied(model)
    optimizer.step({"all": 0.01})
    assert all(not step.any() for step in moved(model, before).values())


def test_it_resumes(model):
    optimizer = MatrixOptimizer({"all": list(model.parameters())}, weight_decay=0.1)
    backward(model, 0)
    optimizer.step({"all": 0.01})
    state, weights = copy.deepcopy(optimizer.state_dict()), copied(model)
    backward(model, 1)
    optimizer.step({"all": 0.01})
    wanted = copied(model)
    again = MatrixOptimizer({"all": list(model.parameters())}, weight_decay=0.1)
    again.load_state_dict(state)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(weights[name])
    backward(model, 1)
    again.step({"all": 0.01})
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), wanted[name], rtol=0, atol=0)
