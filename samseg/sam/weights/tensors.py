"""Metadata and contents of weight files, read without torch.

A safetensors file (github.com/huggingface/safetensors) starts with 8 bytes of little-endian header
length, followed by the header as JSON, which maps names to dtypes and byte ranges of tensors, and
`__metadata__` to strings by name. `torch.save` writes a zip archive with one `data` entry for each
tensor.
"""

import hashlib
import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the free-form metadata of a safetensors file; empty for any other file."""
    found = _safetensors_header(path)
    return {} if found is None else {str(k): str(v) for k, v in found.get(_METADATA, {}).items()}


def tensor_digest(path: Path, floats: Literal["F16", "F32"] | None = None) -> str | None:
    """Return a digest of the tensors in a file, whatever their names, order and file format.

    Args:
        path: a file written by safetensors or by `torch.save`.
        floats: convert float16 tensors of a safetensors file to this type; None keeps them.

    Returns:
        Hex sha256 over the sorted sha256 of each tensor's bytes; None for any other file.
    """
    header = _safetensors_header(path)
    if header is None and not zipfile.is_zipfile(path):
        return None
    tensors = _of_zip(path) if header is None else _of_safetensors(path, header, floats == "F32")
    return hashlib.sha256(b"".join(sorted(hashlib.sha256(t).digest() for t in tensors))).hexdigest()


_METADATA = "__metadata__"


def _safetensors_header(path: Path) -> dict[str, Any] | None:
    with path.open("rb") as f:
        start = f.read(9)
        if len(start) < 9 or start[8:] != b"{":
            return None
        (length,) = struct.unpack("<Q", start[:8])
        if length > path.stat().st_size:
            return None
        try:
            header: dict[str, Any] = json.loads(b"{" + f.read(length - 1))
        except ValueError:
            return None
    return header


def _of_safetensors(path: Path, header: dict[str, Any], widen: bool) -> Iterator[bytes]:
    data = path.read_bytes()
    offset = 8 + struct.unpack("<Q", data[:8])[0]
    for name, entry in header.items():
        if name != _METADATA:
            start, end = entry["data_offsets"]
            tensor = data[offset + start : offset + end]
            if widen and entry["dtype"] == "F16":
                tensor = np.frombuffer(tensor, dtype="<f2").astype("<f4").tobytes()
            yield tensor


def _of_zip(path: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.rsplit("/", 2)[-2:-1] == ["data"]:
                yield archive.read(name)
