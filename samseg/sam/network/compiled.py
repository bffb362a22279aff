"""`torch.compile` for the parts of SAM that run many times, and padding to the shapes it needs.

On a GPU, decoding a batch takes some hundred small kernels, which run faster than Python launches
them. Compilation fuses adjacent kernels and replays all launches of a part as one CUDA graph. The
operations are the same, so results differ only by rounding.

Compilation takes about a minute per part and shape, so it pays off only for runs over many images.
A graph is valid for one set of shapes, so batches are padded (`pad_batch`). Beyond PyTorch's limit
of 8 shapes a part runs uncompiled. Needs a C compiler.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def compile_as_cuda_graph(part: Callable[P, R]) -> Callable[P, R]:
    """Compile for fixed shapes; on a GPU, replay as a CUDA graph.

    A graph writes its results to the same memory each time: they are valid until the first call of
    any such part after `begin_replay`.
    """
    compiled: Callable[P, R] = torch.compile(part, dynamic=False, mode="reduce-overhead")
    return compiled


def compile_static(function: Callable[P, R]) -> Callable[P, R]:
    """Compile once per set of shapes; the caller owns the results."""
    compiled: Callable[P, R] = torch.compile(function, dynamic=False)
    return compiled


@functools.cache
def compile_dynamic(function: Callable[P, R]) -> Callable[P, R]:
    """Compile once, for shapes that differ between images; the caller owns the results."""
    compiled: Callable[P, R] = torch.compile(function, dynamic=True)
    return compiled


def begin_replay() -> None:
    """Release all results of replayed parts: later calls may overwrite them."""
    torch.compiler.cudagraph_mark_step_begin()


def pad_batch(rows: Tensor, n: int) -> Tensor:
    """Pad (b, ...) to (n, ...), b >= 1, by repeating the last row."""
    return torch.cat([rows, rows[-1:].expand(n - len(rows), *rows.shape[1:])])
