"""Streaming of the images of one tar: nothing is extracted to disk and no link is followed.

Member names are never used as paths, so `../x.jpg` or `/etc/x.jpg` is read like any other member.
"""

import tarfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, cast

from samseg.errors import ImageError, ShardError, StorageError, one_line
from samseg.readers.decode import oversized

_BLOCK = 1 << 18
_DAMAGE = (tarfile.TarError, EOFError, ValueError, TypeError, LookupError, OverflowError)
"""What tarfile raises on damaged archives."""


class Member(NamedTuple):
    """One image in a tar.

    Attributes:
        name: its name in the tar, made unique: the second member of the same name gets `~2`.
        payload: its bytes, or the reason why they were not read.
    """

    name: str
    payload: bytes | ImageError


class _Header(tarfile.TarInfo):
    """A header that raises where it is damaged; tarfile would treat it as the end of the tar."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_Header":
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as e:
            raise tarfile.ReadError(f"{e or 'no end marker'} at byte {archive.offset}") from e


class SizedStream:
    """A stream that raises if it ends before the size that the store listed.

    This separates a dropped connection, where a retry helps, from a tar that is stored truncated.
    """

    def __init__(self, stream: BinaryIO, size: int, uri: str):
        """Wrap `stream`, which should hold `size` bytes."""
        self._stream, self._size, self._uri, self._read = stream, size, uri, 0

    def read(self, n: int) -> bytes:
        """Read at most `n` bytes.

        Raises:
            StorageError: the stream ended early.
        """
        chunk = self._stream.read(n)
        self._read += len(chunk)
        if not chunk and n and self._read < self._size:
            raise StorageError(
                f"{self._uri} ended after {self._read} of {self._size} bytes: the connection was "
                "dropped, or the object was replaced after it was planned"
            )
        return chunk


def members(
    stream: BinaryIO | SizedStream, wanted: Callable[[str], bool], max_bytes: int
) -> Iterator[Member]:
    """Yield the images of a tar (plain, gzip, bzip2 or xz) in order.

    Args:
        stream: the tar's bytes; read once, sequentially.
        wanted: whether the member of this name is an image.
        max_bytes: larger members are not read.

    Raises:
        ShardError: the tar is damaged or truncated; every image before that point was yielded.
    """
    seen: set[str] = set()
    try:
        with tarfile.open(
            fileobj=cast(Any, stream), mode="r|*", bufsize=_BLOCK, tarinfo=_Header
        ) as archive:
            while (header := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # bounds memory
                name = _text(header.name)
                if not header.isreg() or not wanted(name):
                    continue
                name = _unique(name, seen)
                seen.add(name)
                if header.size > max_bytes:
                    yield Member(name, oversized(header.size, max_bytes))
                    continue
                opened = archive.extractfile(header)
                payload = opened.read() if opened else b""
                if len(payload) < header.size:
                    raise tarfile.ReadError(f"{name} is truncated")
                yield Member(name, payload)
    except _DAMAGE as e:
        raise ShardError(f"the tar is damaged or truncated: {one_line(e)}") from e


def _unique(name: str, seen: set[str]) -> str:
    if name not in seen:
        return name
    n = 2
    while f"{name}~{n}" in seen:
        n += 1
    return f"{name}~{n}"


def _text(name: str) -> str:
    """Return a name as valid UTF-8: other bytes become `\\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
