"""The trunk: its file, its maps, and comparison with an independent implementation."""

import hashlib
import re

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from samseg.backbones import efficientnet_lite0 as lite0


@pytest.fixture(scope="module")
def trunk():
    return lite0.load()


def test_every_weight_of_the_file_is_used(trunk):
    names = {name for name in trunk.state_dict() if not name.endswith("num_batches_tracked")}
    assert load_file(lite0.WEIGHTS).keys() == names
    assert not trunk.training
    assert all(p.dtype == torch.float32 for p in trunk.parameters())


def test_the_card_names_the_file():
    digest = hashlib.sha256(lite0.WEIGHTS.read_bytes()).hexdigest()
    assert re.search(r"\b[0-9a-f]{64}\b", lite0.WEIGHTS.with_suffix(".md").read_text())[0] == digest


@pytest.mark.parametrize("size", [(64, 64), (97, 130), (33, 256)])
@torch.inference_mode()
def test_maps_have_the_documented_strides(trunk, size):
    maps = trunk(torch.randn(2, 3, *size))
    assert [map_.shape[1] for map_ in maps] == list(lite0.CHANNELS)
    for map_, stride in zip(maps, lite0.STRIDES, strict=True):
        assert map_.shape[2:] == tuple(-(-n // stride) for n in size)


@torch.inference_mode()
def test_folding_changes_nothing(trunk):
    folded = lite0.load()
    lite0.fold(folded)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    x = torch.randn(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    for own, other in zip(trunk(x), folded(x), strict=True):
        torch.testing.assert_close(own, other, atol=1e-3, rtol=1e-4)


def _plain(weights, x):
    """EfficientNet-Lite0 from its published table, in terms of `torch.nn.functional`."""

    def layer(x, name, stride=1, active=True):
        w = weights[f"{name}.conv.weight"]
        k = w.shape[-1]
        groups = 1 if w.shape[1] > 1 or k == 1 else w.shape[0]
        need = [max((-(-n // stride) - 1) * stride + k - n, 0) for n in x.shape[-2:]]
        (h, w_), pad = need, []
        for n in (w_, h):
            pad += [n // 2, n - n // 2]
        y = functional.conv2d(functional.pad(x, pad), w, stride=stride, groups=groups)
        mean, var, gain, shift = (
            weights[f"{name}.norm.{part}"].view(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        y = (y - mean) / (var + 1e-3).sqrt() * gain + shift
        return y.clamp(0, 6) if active else y

    x, found = layer(x, "stem", stride=2), {}
    strides = {0: 1, 1: 2, 3: 2, 5: 2, 8: 1, 11: 2}
    for i in range(15):
        y = layer(x, f"blocks.{i}.expand") if i else x
        y = layer(y, f"blocks.{i}.depthwise", strides.get(i, 1))
        y = layer(y, f"blocks.{i}.project", active=False)
        x = x + y if y.shape == x.shape and i not in strides else y
        found[i] = x
    return [found[i] for i in (2, 4, 10, 14)]


@torch.inference_mode()
def test_it_is_the_published_network(trunk):
    x = torch.randn(1, 3, 75, 118, generator=torch.Generator().manual_seed(0))
    for own, other in zip(trunk(x), _plain(trunk.state_dict(), x), strict=True):
        torch.testing.assert_close(own, other, atol=1e-3, rtol=1e-4)
