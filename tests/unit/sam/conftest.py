"""Models and images shared by the tests; each is created once per session."""

import numpy as np
import pytest

from samseg.sam.weights.load import load_model


@pytest.fixture(scope="session")
def tiny():
    return load_model("tiny")


@pytest.fixture(scope="session")
def scene():
    return draw_scene


def draw_scene(h: int, w: int, seed: int = 0) -> np.ndarray:
    """Coloured ellipses and boxes on a gradient, (h, w, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:h, :w]
    image = np.stack([60 + 60 * y / h, 80 + 60 * x / w, 90 + 0 * x], axis=-1)
    for i in range(9):
        cy, cx = rng.uniform(0.1, 0.9, 2) * (h, w)
        ry, rx = rng.uniform(0.06, 0.2, 2) * min(h, w)
        dy, dx = np.abs(y - cy) / max(ry, 0.5), np.abs(x - cx) / max(rx, 0.5)
        inside = dy**2 + dx**2 < 1 if i % 2 else np.maximum(dy, dx) < 1
        image[inside] = rng.uniform(0, 255, 3)
    return (image + rng.normal(0, 3, image.shape)).clip(0, 255).astype(np.uint8)
