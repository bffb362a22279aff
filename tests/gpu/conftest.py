"""Tests that need a CUDA GPU, but neither Ray, DuckDB nor an object store; skipped without a GPU.

    pytest tests/gpu --confcutdir=tests/gpu -W default

runs them without samseg's other dependencies: it leaves out the fixtures of `tests/conftest.py` and
allows warnings of other library versions.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from samseg.demo.scenes import draw_scene
from samseg.sam.segmenter import Segmenter
from samseg.sam.settings import MaskSettings, ModelSpec

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    absent = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            item.add_marker(absent)


@pytest.fixture(scope="session")
def cuda():
    return torch.device("cuda", 0)


@pytest.fixture(scope="session")
def cpu():
    return torch.device("cpu")


@pytest.fixture(scope="session")
def scenes():
    """Landscape, portrait and square, (h, w, 3) uint8."""
    sizes = [(240, 320), (320, 200), (256, 256)]
    return [draw_scene(seed, size, objects=(4, 6)).pixels for seed, size in enumerate(sizes)]


@pytest.fixture(scope="session")
def load():
    """Load the shipped model on a device, with its recommended settings and overrides."""

    def loaded(device, precision="float32", **settings):
        spec = ModelSpec(precision=precision)
        given = MaskSettings(**({"points_per_side": 10} | settings))
        return Segmenter.load(spec, given, device=device.type)

    return loaded


@pytest.fixture(scope="session")
def blobs():
    """(m, low, low) float32 logits of smooth blobs, from large to small."""

    def made(m, low=256):
        coarse = torch.randn(m, 1, 12, 12, generator=torch.Generator().manual_seed(4))
        coarse -= torch.linspace(-1, 2.5, m)[:, None, None, None]
        return torch.nn.functional.interpolate(coarse, low, mode="bicubic")[:, 0] * 4

    return made


def error(found, wanted):
    """Norm of the difference divided by the norm of the wanted value."""
    found, wanted = (
        torch.as_tensor(np.asarray(x.cpu() if isinstance(x, torch.Tensor) else x)).double()
        for x in (found, wanted)
    )
    return float((found - wanted).norm() / wanted.norm())


@pytest.fixture(scope="session")
def relative_error():
    return error
