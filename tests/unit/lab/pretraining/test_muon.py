"""Muon: PyTorch's steps in bfloat16, and nearly the same in float32."""

import copy

import pytest
import torch
from torch import nn

from samseg.lab.pretraining import muon
from samseg.lab.pretraining.muon import Muon, orthogonalised

SHAPES = [(48, 40), (36, 64), (40, 40)]


def stepped(optimizer_of, steps=3):
    torch.manual_seed(0)
    matrices = [nn.Parameter(torch.randn(shape) / 8) for shape in SHAPES]
    optimizer = optimizer_of([{"params": matrices, "lr": 0.01}])
    for _ in range(steps):
        for matrix in matrices:
            matrix.grad = torch.randn(matrix.shape)
        optimizer.step()
    return optimizer, matrices


def ours(groups):
    return Muon(groups, weight_decay=0.1)


def pytorchs(groups):
    return torch.optim.Muon(groups, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")


def test_steps_are_pytorch_s(monkeypatch):
    monkeypatch.setattr(muon, "has_bfloat16", lambda device: True)
    for got, wanted in zip(stepped(ours)[1], stepped(pytorchs)[1], strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def test_without_bfloat16_steps_are_nearly_pytorch_s(monkeypatch):
    monkeypatch.setattr(muon, "has_bfloat16", lambda device: False)
    for got, wanted in zip(stepped(ours)[1], stepped(pytorchs)[1], strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=3e-4)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_are_near_one(monkeypatch, native, shape):
    monkeypatch.setattr(muon, "has_bfloat16", lambda device: native)
    found = orthogonalised(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    assert found.dtype == (torch.bfloat16 if native else torch.float32)
    singular = torch.linalg.svdvals(found.float())
    # a square matrix has small ones, which grow but do not reach one
    assert singular.max() < 1.5
    assert singular.median() > 0.5


def test_it_resumes_from_pytorch_s_state():
    """Checkpoints of earlier versions hold it."""
    optimizer, matrices = stepped(pytorchs)
    copies = [nn.Parameter(matrix.detach().clone()) for matrix in matrices]
    again = ours([{"params": copies, "lr": 0.01}])
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for matrix, other in zip(matrices, copies, strict=True):
        matrix.grad = torch.randn(matrix.shape)
        other.grad = matrix.grad.clone()
    optimizer.step()
    again.step()
    for matrix, other in zip(matrices, copies, strict=True):
        torch.testing.assert_close(other, matrix, rtol=0, atol=3e-4)
