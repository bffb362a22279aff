"""The sha256 of a file, which identifies a checkpoint."""

import hashlib
from pathlib import Path

_BLOCK_BYTES = 1 << 22


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file, reading it in blocks."""
    sha = hashlib.sha256()
    with path.open("rb") as f:
        while block := f.read(_BLOCK_BYTES):
            sha.update(block)
    return sha.hexdigest()
