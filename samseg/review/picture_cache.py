"""A bounded folder of pictures on this machine: the least recently shown ones are deleted first."""

import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

LIMIT = 256 << 20
"""Bytes that one folder holds."""
_KEPT = 0.8
"""Share of the limit that is left after deleting."""


class PictureCache:
    """Pictures by name, as files of a folder; thread-safe."""

    def __init__(self, folder: Path, limit: int = LIMIT):
        """Open the folder, and create it if needed.

        Args:
            folder: where the pictures are.
            limit: bytes that it holds at most.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._limit, self._lock = folder, limit, threading.Lock()
        self._size = sum(size for _, size, _ in self._files())

    def get(self, name: str) -> bytes | None:
        """Return a picture, None if it is not there."""
        path = self._folder / name
        try:
            payload = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return payload

    def put(self, name: str, payload: bytes) -> None:
        """Keep a picture; where the disk is full or read-only, nothing is kept."""
        with suppress(OSError):
            self._write(name, payload)

    def _write(self, name: str, payload: bytes) -> None:
        handle, temporary = tempfile.mkstemp(dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(payload)
            Path(temporary).replace(self._folder / name)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
        with self._lock:
            self._size += len(payload)
            if self._size > self._limit:
                self._shrink()

    def _shrink(self) -> None:
        files = sorted(self._files())
        self._size = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._size <= self._limit * _KEPT:
                break
            path.unlink(missing_ok=True)
            self._size -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        """Return time of last use, bytes and path of every file."""
        found = []
        for path in self._folder.iterdir():
            with suppress(OSError):  # another process may delete it meanwhile
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return found
