"""Copies of a model for the threads of a training step."""

import copy

import torch
from segment_anything.modeling import Sam
from torch import nn


def replicate(model: Sam, n: int) -> list[Sam]:
    """Return the model and n - 1 copies that share its parameters.

    Each copy has its own BatchNorm statistics: threads must not write to the same ones.
    """
    shared = {id(p): p for p in model.parameters()}
    return [model, *(copy.deepcopy(model, dict(shared)) for _ in range(n - 1))]


def average_norms(models: list[Sam]) -> None:
    """Set the BatchNorm statistics of the first model to the mean over all models."""
    if len(models) == 1:
        return
    for alike in zip(*(model.modules() for model in models), strict=True):
        if isinstance(alike[0], nn.BatchNorm2d):
            for name in ("running_mean", "running_var"):
                own = getattr(alike[0], name)
                own.copy_(torch.stack([getattr(norm, name) for norm in alike]).mean(0))
