"""Load weights into the model classes of `segment_anything`, and choose the device.

The models are `segment_anything.modeling.Sam`, so `SamPredictor` and
`SamAutomaticMaskGenerator` accept them. `samseg.sam.weights.registry` finds the file.
"""

import os
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from segment_anything.build_sam import sam_model_registry
from segment_anything.modeling import Sam
from torch import Tensor

from samseg.errors import CheckpointError, DeviceError
from samseg.sam.settings import Architecture
from samseg.sam.tiny.build import build_tiny
from samseg.sam.tiny.lite0_encoder import Lite0Encoder
from samseg.sam.weights.registry import resolve
from samseg.sam.weights.tensors import weight_format

_VIT_WIDTHS: Mapping[int, Architecture] = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
_TRUNK = "image_encoder.trunk.stem.conv.weight"
_SHOWN = 3
_WRAPPERS = ("model", "state_dict", "model_state_dict")
"""Keys under which training runs save the state dict."""

_UNREADABLE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, OSError, LookupError, ValueError, TypeError),
    *(AttributeError, AssertionError, ArithmeticError, ImportError, MemoryError, struct.error),
)
"""What PyTorch raises for files that are not its own."""


def load_model(
    name_or_path: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    cache: Path | None = None,
    arch: Architecture | None = None,
) -> Sam:
    """Load a checkpoint as a `segment_anything` model, on the CPU, in evaluation mode.

    Args:
        name_or_path: `tiny`, `vit_b`, `vit_l`, `vit_h`, a path, or a URL.
        sha256: required digest of the file.
        cache: folder for downloaded checkpoints; `~/.cache/samseg` if None.
        arch: architecture; None detects it from the weights.

    Raises:
        CheckpointError: the checkpoint does not exist, is damaged, or has an unknown architecture.
    """
    found = resolve(name_or_path, sha256=sha256, cache=cache)
    return read_model(found.path, arch)


def read_model(path: Path, arch: Architecture | None = None) -> Sam:
    """Read a `.pth` or `.safetensors` file into a model; see `load_model`."""
    weights = read_weights(path)
    arch = arch or architecture_of(weights, path)
    model = _built_for(weights, arch)
    wanted = model.state_dict()
    missing = sorted(wanted.keys() - weights.keys())
    extra = sorted(weights.keys() - wanted.keys())
    shapes = [
        f"{k} is {tuple(weights[k].shape)}, wanted {tuple(wanted[k].shape)}"
        for k in sorted(wanted.keys() & weights.keys())
        if weights[k].shape != wanted[k].shape
    ]
    odd = [
        f"{k} is {weights[k].dtype}, {weights[k].layout}"
        for k in sorted(wanted.keys() & weights.keys())
        if not _can_become(weights[k], wanted[k])
    ]
    if missing or extra or shapes or odd:
        raise CheckpointError(
            f"{path} does not match the architecture {arch}: {_some('missing', missing)}"
            f"{_some('unknown', extra)}{_some('of the wrong shape', shapes)}"
            f"{_some('of the wrong type', odd)}give a SAM checkpoint, or the right `model.arch`"
        )
    model.load_state_dict(weights)  # half precision on disk becomes float32 here
    return model.eval()


def build_model(arch: Architecture) -> Sam:
    """Return a model with random weights, in evaluation mode."""
    return build_tiny() if arch == "tiny" else sam_model_registry[arch]()


def _built_for(weights: Mapping[str, Tensor], arch: Architecture) -> Sam:
    """Return the model that weights are for: two encoders share the architecture `tiny`."""
    if arch == "tiny" and _TRUNK in weights:
        return build_tiny(encoder=Lite0Encoder)
    return build_model(arch)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict without executing code from the file.

    The format is told by the contents. A checkpoint of a training run may hold the state dict
    under `model`, `state_dict` or `model_state_dict`, with other tensors and numbers beside it.

    Raises:
        CheckpointError: the file is neither safetensors nor a plain PyTorch state dict.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        written = weight_format(path)
        if written == "safetensors":
            return load_file(path)
        if written is None:
            raise _damaged(path, "it is neither safetensors nor a file of torch.save")
    except (SafetensorError, OSError) as e:
        raise _damaged(path, str(e).split("\n")[0]) from e
    try:
        with path.open("rb") as f:  # of a path, torch.load takes the format from the name
            loaded = torch.load(f, map_location="cpu", weights_only=True)
    except _UNREADABLE:  # its own message advises to execute what the file contains
        raise _damaged(path, "it holds more than tensors, or does not end") from None
    weights = _unwrapped(loaded)
    if weights is None:
        raise CheckpointError(
            f"{path} contains a {type(loaded).__name__}, wanted a state dict (name -> tensor) of "
            "SAM"
        )
    return weights


def _unwrapped(loaded: object) -> dict[str, Tensor] | None:
    """Return the state dict in what a file holds; None if there is none."""
    if not isinstance(loaded, dict):
        return None
    if all(isinstance(k, str) and isinstance(v, Tensor) for k, v in loaded.items()):
        return loaded
    inner = next((loaded[key] for key in _WRAPPERS if key in loaded), None)
    return _unwrapped(inner)


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"cannot read weights from {path}: {reason}; the file is damaged or not a state dict; "
        "download it again, or save the state dict alone"
    )


def architecture_of(weights: Mapping[str, Tensor], path: Path) -> Architecture:
    """Detect the architecture from the names and shapes of the weights.

    Raises:
        CheckpointError: the architecture is unknown.
    """
    if "image_encoder.stages.0.0.depthwise.weight" in weights or _TRUNK in weights:
        return "tiny"
    position = weights.get("image_encoder.pos_embed")
    width = position.shape[-1] if position is not None and position.ndim == 4 else 0
    if width not in _VIT_WIDTHS:
        raise CheckpointError(
            f"{path} has an unknown architecture (first keys: "
            f"{', '.join(list(weights)[:_SHOWN])}); wanted vit_b, vit_l, vit_h or tiny, with keys "
            "as in segment_anything"
        )
    return _VIT_WIDTHS[width]


def resolve_device(wanted: Literal["auto", "cpu", "cuda"] | str) -> torch.device:
    """Choose the device of this worker.

    Of several visible GPUs it is the first one; pin a worker to another one with
    CUDA_VISIBLE_DEVICES, as Ray does.

    Raises:
        DeviceError: `wanted` is `cuda` and there is no GPU, or the name is unknown.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if wanted not in ("auto", "cuda"):
        raise DeviceError(f"unknown device {wanted!r}; wanted auto, cpu or cuda")
    if not torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        variable = "" if visible is None else f" (CUDA_VISIBLE_DEVICES={visible!r})"
        built = torch.version.cuda or "none, this build is CPU-only"
        raise DeviceError(
            f"device cuda was requested, but PyTorch {torch.__version__} finds no GPU{variable}; "
            f"its CUDA version: {built}. Check nvidia-smi and the driver, or set device to cpu"
        )
    return torch.device("cuda", 0)


def _can_become(weight: Tensor, wanted: Tensor) -> bool:
    """Return whether a weight is a dense array in the file, of floats where floats are wanted."""
    dense = weight.layout == torch.strided and weight.device.type == "cpu"
    return dense and weight.is_floating_point() == wanted.is_floating_point()


def _some(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{more}); "
