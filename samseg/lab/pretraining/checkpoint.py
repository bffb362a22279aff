"""What a training run leaves to go on from, and the weights that it ends with."""

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from samseg.errors import CheckpointError


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state; a kill at any time leaves the old file or the new one."""
    beside = path.with_suffix(".part")
    torch.save(dict(state), beside)
    beside.replace(path)


def load(path: Path) -> dict[str, Any] | None:
    """Read a state; None when there is none.

    Raises:
        CheckpointError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as e:
        raise CheckpointError(
            f"cannot go on from {path}: {str(e).splitlines()[0]}; delete it to begin anew"
        ) from e
    return state


def export(model: Sam, path: Path, recommended: Mapping[str, Any]) -> str:
    """Write weights as float16 safetensors that name their architecture.

    The same weights and settings give the same bytes.

    Args:
        model: of the architecture `tiny`.
        path: file to write.
        recommended: mask settings for these weights, by name.

    Returns:
        The sha256 of the file.
    """
    header = {"arch": "tiny", "mask_settings": json.dumps(dict(recommended), sort_keys=True)}
    return write_half(model.state_dict(), path, header)


def write_half(weights: Mapping[str, Tensor], path: Path, header: Mapping[str, str]) -> str:
    """Write weights as float16 safetensors; the same weights and header give the same bytes.

    Args:
        weights: integers stay as they are.
        path: file to write.
        header: the file's metadata.

    Returns:
        The sha256 of the file.
    """
    from safetensors.torch import save

    half = {
        name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for name, value in weights.items()
    }
    content = _in_order(save(half, metadata=dict(header)))
    beside = path.with_suffix(".part")
    beside.write_bytes(content)
    beside.replace(path)
    return hashlib.sha256(content).hexdigest()


def _in_order(content: bytes) -> bytes:
    """Sort the keys of a safetensors header: the library writes its metadata in any order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":"))
    return content[:8] + header.encode().ljust(end - 8) + content[end:]
