"""Checkpoints of a training run, and export of its weights."""

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from samseg.errors import CheckpointError, one_line


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state atomically: an interruption leaves the old file or the new one."""
    partial = path.with_suffix(".part")
    torch.save(dict(state), partial)
    partial.replace(path)


def load(path: Path) -> dict[str, Any] | None:
    """Read a state; None when there is none.

    Raises:
        CheckpointError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # its message advises to execute what the file contains
        raise CheckpointError(
            f"cannot resume from {path}: it is damaged; delete it to start again"
        ) from None
    except (RuntimeError, EOFError, OSError) as e:
        raise CheckpointError(
            f"cannot resume from {path}: {one_line(e)}; delete it to start again"
        ) from e
    return state


def export(model: Sam, path: Path, recommended: Mapping[str, Any]) -> str:
    """Write weights as float16 safetensors with their architecture in the header.

    Deterministic: the same weights and settings give the same bytes.

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
        weights: integer tensors keep their dtype.
        path: file to write.
        header: metadata of the file.

    Returns:
        The sha256 of the file.
    """
    from safetensors.torch import save

    half = {
        name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for name, value in weights.items()
    }
    content = _with_sorted_header(save(half, metadata=dict(header)))
    partial = path.with_suffix(".part")
    partial.write_bytes(content)
    partial.replace(path)
    return hashlib.sha256(content).hexdigest()


def _with_sorted_header(content: bytes) -> bytes:
    """Sort the keys of the header: safetensors writes its metadata in arbitrary order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":"))
    return content[:8] + header.encode().ljust(end - 8) + content[end:]
