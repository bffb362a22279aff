"""`torch.compile` for the parts of SAM that run many times, and the fixed shapes it asks for.

On a GPU the decoder's batch is some hundred small kernels, and Python cannot start them as fast as
the GPU ends them. Compiled, neighbouring ones are fused, and all launches of a part are replayed
as one CUDA graph. The operations stay the same, so only rounding moves.

Compiling takes a minute or so per part and shape, which a short run never earns back: it is for
runs over many images. A graph holds for one set of shapes, so batches are filled up (`repeated`).
Beyond PyTorch's limit of shapes (8) a part runs as it is written; without a C compiler none runs.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def replayed(part: Callable[P, R]) -> Callable[P, R]:
    """Compile for fixed shapes; on a GPU, replay as a CUDA graph.

    A graph writes its results into memory of its own, into the same one each time: they are valid
    until the first call of any such part after `begin_replay`.
    """
    compiled: Callable[P, R] = torch.compile(part, dynamic=False, mode="reduce-overhead")
    return compiled


def of_fixed_size(function: Callable[P, R]) -> Callable[P, R]:
    """Compile anew for each set of shapes; its results are the caller's."""
    compiled: Callable[P, R] = torch.compile(function, dynamic=False)
    return compiled


@functools.cache
def of_any_size(function: Callable[P, R]) -> Callable[P, R]:
    """Compile once, for sizes that differ from image to image; its results are the caller's."""
    compiled: Callable[P, R] = torch.compile(function, dynamic=True)
    return compiled


def begin_replay() -> None:
    """Give up all results of replayed parts; what is called from now on may overwrite them."""
    torch.compiler.cudagraph_mark_step_begin()


def repeated(rows: Tensor, n: int) -> Tensor:
    """Fill up (b, ...) to (n, ...), b >= 1, with the last row."""
    return torch.cat([rows, rows[-1:].expand(n - len(rows), *rows.shape[1:])])
