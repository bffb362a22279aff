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

_METADATA = "__metadata__"
_LONGEST_HEADER = 100_000_000
"""Bytes; the limit of the format."""

_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa85019")
"""The number that files of `torch.save` before the zip format begin with, pickled."""

_UNREADABLE = (zipfile.BadZipFile, RuntimeError, ValueError, EOFError, OSError, struct.error)
"""What `zipfile` raises for archives that are encrypted, damaged or of an unknown kind."""


def weight_format(path: Path) -> Literal["safetensors", "torch"] | None:
    """Return the format of a weight file by its contents, whatever its name.

    Returns:
        None if it is no weight file, or a part of one. Only headers are read: the contents of a
        file in one of these formats can still be damaged.

    Raises:
        OSError: the file cannot be read.
    """
    if _safetensors_header(path) is not None:
        return "safetensors"
    with path.open("rb") as f:
        legacy = _MAGIC in f.read(64)
    return "torch" if legacy or any(name.endswith("/data.pkl") for name in _names(path)) else None


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
    try:
        tensors = _of_zip(path) if header is None else _of_safetensors(path, header, floats)
        digests = sorted(hashlib.sha256(tensor).digest() for tensor in tensors)
    except _UNREADABLE:
        return None
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _safetensors_header(path: Path) -> dict[str, Any] | None:
    """Return the header of a safetensors file whose tensors fill the file."""
    size = path.stat().st_size
    with path.open("rb") as f:
        start = f.read(9)
        if len(start) < 9 or start[8:] != b"{":
            return None
        (length,) = struct.unpack("<Q", start[:8])
        if length > min(size - 8, _LONGEST_HEADER):
            return None
        try:
            header: dict[str, Any] = json.loads(b"{" + f.read(length - 1))
        except (ValueError, RecursionError):
            return None
    entries = [entry for name, entry in header.items() if name != _METADATA]
    if not isinstance(header.get(_METADATA, {}), dict) or not all(map(_is_entry, entries)):
        return None
    end = max((entry["data_offsets"][1] for entry in entries), default=0)
    return header if end == size - 8 - length else None


def _is_entry(entry: Any) -> bool:
    """Return whether an entry of the header gives a type, and where a tensor begins and ends."""
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    offsets = entry.get("data_offsets")
    if not isinstance(offsets, list) or [type(offset) for offset in offsets] != [int, int]:
        return False
    return 0 <= offsets[0] <= offsets[1]


def _of_safetensors(path: Path, header: dict[str, Any], floats: str | None) -> Iterator[bytes]:
    data = path.read_bytes()
    offset = 8 + struct.unpack("<Q", data[:8])[0]
    for name, entry in header.items():
        if name != _METADATA:
            start, end = entry["data_offsets"]
            tensor = data[offset + start : offset + end]
            if floats == "F32" and entry["dtype"] == "F16":
                tensor = np.frombuffer(tensor, dtype="<f2").astype("<f4").tobytes()
            yield tensor


def _of_zip(path: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.rsplit("/", 2)[-2:-1] == ["data"]:
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise zipfile.BadZipFile("torch.save does not compress")
                yield archive.read(entry)


def _names(path: Path) -> list[str]:
    """Return the names in a zip archive; none for any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except _UNREADABLE:
        return []
