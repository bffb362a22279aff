"""Decompression of streams: gzip, bzip2, xz and zstd of any number of members or frames."""

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, cast

import pyarrow as pa

from samseg.errors import SamsegError

_MAGIC_BYTES = 6
_MAX_RATIO = 200
_ALWAYS_ALLOWED = 1 << 30
"""Decompressed bytes that are read at any ratio."""

_FORMATS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x5d\x00\x00": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": lambda stream: pa.CompressedInputStream(
        pa.PythonFile(stream, mode="r"), "zstd"
    ),
}
_DAMAGE = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, pa.ArrowException)


def decompressed(stream: Any) -> BinaryIO:
    """Return what reads the contents of a stream, compressed or not, sequentially."""
    source = _Compressed(stream)
    for magic, opened in _FORMATS.items():
        if source.start.startswith(magic):
            return cast(BinaryIO, _Contents(source, opened(source)))
    return cast(BinaryIO, source)


class _Compressed:
    """A compressed stream that keeps what reading it raised."""

    closed = False

    def __init__(self, stream: Any):
        self._stream, self.error, self.bytes = stream, cast(BaseException | None, None), 0
        self.start = self._waiting = stream.read(_MAGIC_BYTES)

    def read(self, n: int = -1) -> bytes:
        if n == 0:
            return b""
        try:
            chunk = self._waiting or self._stream.read(n if n > 0 else 1 << 18)
        except (OSError, SamsegError) as e:
            self.error = e
            raise
        chunk, self._waiting = (chunk[:n], chunk[n:]) if 0 < n < len(chunk) else (chunk, b"")
        self.bytes += len(chunk)
        return cast(bytes, chunk)

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.bytes

    def close(self) -> None:
        """Leave the stream open."""

    def flush(self) -> None:
        """Do nothing."""


class _Contents:
    """The contents of a compressed stream: damage and expansion without bound are `ReadError`."""

    def __init__(self, source: _Compressed, contents: Any):
        self._source, self._contents, self._bytes = source, contents, 0

    def read(self, n: int) -> bytes:
        """Read at most `n` bytes.

        Raises:
            tarfile.ReadError: the compressed bytes are damaged, or expand too far.
            Exception: what reading them from the store raised.
        """
        try:
            chunk = cast(bytes, self._contents.read(n))
        except _DAMAGE as e:
            if self._source.error is not None:
                raise self._source.error from e
            raise tarfile.ReadError(f"invalid compressed data: {e}") from e
        self._bytes += len(chunk)
        if self._bytes > _ALWAYS_ALLOWED + _MAX_RATIO * self._source.bytes:
            raise tarfile.ReadError(
                f"{self._source.bytes:,} compressed bytes expand to more than {self._bytes:,}"
            )
        return chunk
