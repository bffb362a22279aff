"""Smooth random fields, from which all textures of the generated scenes are made."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

Field = NDArray[np.floating[Any]]
"""(h, w), or (h, w, 3) for colours in [0, 1]."""


def smooth(shape: tuple[int, int], rng: np.random.Generator, cell: tuple[float, float]) -> Field:
    """Return bicubically interpolated white noise, about in [-1, 1].

    Args:
        shape: (h, w) in px.
        rng: the random generator.
        cell: (height, width) in px of one cell of the noise.
    """
    h, w = shape
    rows, columns = int(h / cell[0]) + 2, int(w / cell[1]) + 2
    grid = Pillow.fromarray(rng.uniform(-1, 1, (rows, columns)).astype(np.float32))
    return np.asarray(grid.resize((w, h), Pillow.Resampling.BICUBIC), dtype=np.float32)


def fractal(shape: tuple[int, int], rng: np.random.Generator, cell: float, octaves: int) -> Field:
    """Return a sum of `smooth` fields of decreasing cell and amplitude, about in [-1, 1]."""
    total = np.zeros(shape, dtype=np.float32)
    for octave in range(octaves):
        size = max(1.0, cell / 2**octave)
        total += smooth(shape, rng, (size, size)) / 2**octave
    return total / 1.5


def mix(a: Field | tuple[float, ...], b: Field | tuple[float, ...], share: Field) -> Field:
    """Blend two colours or colour fields; `share` (h, w), clipped to [0, 1], weights `b`."""
    t = np.clip(share, 0, 1)[..., None]
    return np.asarray(a, dtype=np.float32) * (1 - t) + np.asarray(b, dtype=np.float32) * t


def step(field: Field, edge: float | Field, width: float) -> Field:
    """Return a soft threshold: 0 below `edge`, 1 above, over `width`."""
    t = np.clip((field - edge) / width + 0.5, 0, 1)
    return t * t * (3 - 2 * t)
