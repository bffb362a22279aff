"""The trunk's weights file, made from weights under their published names."""

import hashlib

import torch

from samseg.backbones import efficientnet_lite0
from samseg.backbones.efficientnet_lite0 import EfficientNetLite0
from samseg.lab.pretraining.trunk_file import write_trunk

PUBLISHED = {
    "stem.conv": "_conv_stem",
    "stem.norm": "_bn0",
    "expand.conv": "_expand_conv",
    "expand.norm": "_bn0",
    "depthwise.conv": "_depthwise_conv",
    "depthwise.norm": "_bn1",
    "project.conv": "_project_conv",
    "project.norm": "_bn2",
}


def published(trunk):
    """Return the trunk's weights as the package names them, with a classifier."""
    weights = {"_fc.weight": torch.zeros(10, 1280), "_conv_head.weight": torch.zeros(4, 4, 1, 1)}
    for name, value in trunk.state_dict().items():
        *place, layer, kind, parameter = name.split(".")
        if place[0:1] == ["blocks"]:
            weights[f"_blocks.{place[1]}.{PUBLISHED[f'{layer}.{kind}']}.{parameter}"] = value
        else:
            weights[f"{PUBLISHED[f'{layer}.{kind}']}.{parameter}"] = value
    return weights


def test_published_weights_become_the_trunk_without_the_classifier(tmp_path):
    torch.manual_seed(0)
    trunk = EfficientNetLite0().eval()
    torch.save(published(trunk), tmp_path / "published.pth")
    path = tmp_path / "trunk.safetensors"
    digests = {write_trunk(tmp_path / "published.pth", path) for _ in range(2)}
    assert digests == {hashlib.sha256(path.read_bytes()).hexdigest()}
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        wanted, found = trunk(image), efficientnet_lite0.load(path)(image)
    for one, other in zip(wanted, found, strict=True):
        assert torch.allclose(one, other, atol=0.01)  # float16 on disk
