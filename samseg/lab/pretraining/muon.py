"""Muon, in bfloat16 or float32, whichever the device computes fast.

Muon (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024)
orthogonalises the momentum of a matrix, so rare directions of the gradient are learned too.
`torch.optim.Muon` does so in bfloat16 on every device, which takes 50 times as long on a CPU
without bfloat16 instructions; otherwise the two are the same.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from samseg.sam.precision import has_bfloat16

_MOMENTUM = 0.95
_QUINTIC = (3.4445, -4.775, 2.0315)
"""Coefficients a, b, c of a step X <- aX + b(XX')X + c(XX')^2 X; from the paper."""

_STEPS = 5
_LEAST_NORM = 1e-7


class Muon(torch.optim.Optimizer):
    """Steps matrices by their orthogonalised Nesterov momentum.

    Steps are scaled to the magnitude of AdamW's (Liu et al., "Muon is Scalable for LLM Training",
    2025, section 2.2), so that the learning rate is AdamW's, too.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], weight_decay: float):
        """Take groups of (rows, columns) parameters, and their decoupled weight decay."""
        super().__init__(groups, {"lr": 1e-3, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the matrices that have a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._update(matrix, matrix.grad, group["lr"], group["weight_decay"])

    def _update(self, matrix: Tensor, grad: Tensor, lr: float, weight_decay: float) -> None:
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(grad, memory_format=torch.preserve_format)
        momentum = state["momentum_buffer"].lerp_(grad, 1 - _MOMENTUM)
        direction = orthogonalised(grad.lerp(momentum, _MOMENTUM))
        matrix.mul_(1 - lr * weight_decay)
        matrix.add_(direction, alpha=-lr * 0.2 * math.sqrt(max(matrix.shape)))


def orthogonalised(matrix: Tensor) -> Tensor:
    """Return U V' of a matrix U S V', with singular values between 0.5 and 1.5 in place of 1.

    By the Newton-Schulz iteration of the paper, which needs products of matrices only.

    Args:
        matrix: (m, n); singular values below 1e-3 of its norm may become smaller than 0.5.

    Returns:
        (m, n); bfloat16 where the device has it, else float32.
    """
    a, b, c = _QUINTIC
    dtype = torch.bfloat16 if has_bfloat16(matrix.device) else torch.float32
    x = matrix.to(dtype, copy=True)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x.div_(x.norm().clamp(min=_LEAST_NORM))
    for _ in range(_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
