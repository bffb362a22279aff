"""Random table tops: (h, w, 3) float32 colours in [0, 1]."""

from collections.abc import Callable

import numpy as np

from samseg.demo.scenes.noise import Field, fractal, mix, smooth, step

Surface = Callable[[tuple[int, int], np.random.Generator], Field]


def wood(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """Draw horizontal planks of pale oak."""
    h, w = shape
    plank = int(rng.integers(105, 150))
    y = np.arange(h) + rng.integers(plank)
    board, across = y // plank, y % plank
    tone = rng.uniform(-0.09, 0.09, board.max() + 1)[board][:, None]
    grain = smooth(shape, rng, (2.5, 160)) * 0.5 + smooth(shape, rng, (9, 260)) * 0.6
    colour = mix((0.80, 0.64, 0.45), (0.62, 0.45, 0.28), 0.42 + 0.35 * grain + tone)
    gap = np.minimum(across, plank - across)[:, None] * np.ones((1, w))
    return colour * (0.45 + 0.55 * step(gap.astype(np.float32), 1.5, 3.0))[..., None]


def linen(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """Draw a woven cloth with soft folds."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    thread = np.sin(x * 1.6 + smooth(shape, rng, (60, 60))) * np.sin(
        y * 1.6 + smooth(shape, rng, (60, 60))
    )
    slub = smooth(shape, rng, (1.5, 30)) + smooth(shape, rng, (30, 1.5))
    folds = smooth(shape, rng, (150, 260))
    base = np.array([(0.86, 0.83, 0.77), (0.66, 0.73, 0.80), (0.78, 0.80, 0.73)][rng.integers(3)])
    return (base * (1 + 0.035 * thread + 0.03 * slub + 0.06 * folds)[..., None]).astype(np.float32)


def slate(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """Draw dark stone."""
    clouds = fractal(shape, rng, 120, 6)
    layers = smooth(shape, rng, (5, 90))
    return mix((0.20, 0.22, 0.25), (0.36, 0.38, 0.41), 0.45 + 0.45 * clouds + 0.15 * layers)


def marble(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """Draw white stone with grey veins."""
    clouds = fractal(shape, rng, 200, 4)
    bent = fractal(shape, rng, 220, 5)
    from_line = bent / (np.hypot(*np.gradient(bent)) + 1e-3)  # px to the zero line
    vein = np.exp(-((from_line / 2.0) ** 2)) * np.clip(0.5 + clouds, 0, 1)
    ground = mix((0.93, 0.92, 0.90), (0.84, 0.84, 0.85), 0.4 + 0.6 * clouds)
    return mix(ground, (0.55, 0.56, 0.60), 0.55 * vein)


SURFACES: dict[str, Surface] = {"wood": wood, "linen": linen, "slate": slate, "marble": marble}
"""Every surface by name."""
