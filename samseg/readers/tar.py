"""Walks the images of one tar in order, as a stream: nothing is extracted, no link is followed.

Member names are only ever names here: `../x.jpg` or `/etc/x.jpg` is read like any other member,
because its bytes go to memory and no path is made of it.
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
        name: its name in the tar, made distinct: the second member of one name gets `~2`.
        payload: its bytes, or why they were not read.
    """

    name: str
    payload: bytes | ImageError


class _Header(tarfile.TarInfo):
    """A header whose damage is an error; tarfile takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_Header":
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as e:
            raise tarfile.ReadError(f"{e or 'no end marker'} at byte {archive.offset}") from e


class Whole:
    """A stream that notices when it ends before the size that the store gave.

    It tells a connection that was cut (trying again helps) from a tar that was written cut.
    """

    def __init__(self, stream: BinaryIO, size: int, uri: str):
        """Watch `stream`, which should give `size` bytes."""
        self._stream, self._size, self._uri, self._given = stream, size, uri, 0

    def read(self, n: int) -> bytes:
        """Read at most `n` bytes.

        Raises:
            StorageError: the stream ended early.
        """
        chunk = self._stream.read(n)
        self._given += len(chunk)
        if not chunk and n and self._given < self._size:
            raise StorageError(
                f"{self._uri} gave {self._given} of its {self._size} bytes: the connection was "
                "cut, or the object was replaced after it was planned"
            )
        return chunk


def members(
    stream: BinaryIO | Whole, wanted: Callable[[str], bool], max_bytes: int
) -> Iterator[Member]:
    """Yield the images of a tar (plain, gzip, bzip2 or xz) in order.

    Args:
        stream: the tar's bytes; read once, forwards.
        wanted: tells by its name whether a member is an image.
        max_bytes: larger members are not read.

    Raises:
        ShardError: the tar is damaged or ends early; every image before that was yielded.
    """
    taken: set[str] = set()
    try:
        with tarfile.open(
            fileobj=cast(Any, stream), mode="r|*", bufsize=_BLOCK, tarinfo=_Header
        ) as archive:
            while (header := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # they would fill memory
                name = _text(header.name)
                if not header.isreg() or not wanted(name):
                    continue
                name = _distinct(name, taken)
                taken.add(name)
                if header.size > max_bytes:
                    yield Member(name, oversized(header.size, max_bytes))
                    continue
                opened = archive.extractfile(header)
                payload = opened.read() if opened else b""
                if len(payload) < header.size:
                    raise tarfile.ReadError(f"{name} is cut")
                yield Member(name, payload)
    except _DAMAGE as e:
        raise ShardError(f"the tar is damaged or ends early: {one_line(e)}") from e


def _distinct(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    n = 2
    while f"{name}~{n}" in taken:
        n += 1
    return f"{name}~{n}"


def _text(name: str) -> str:
    """Make a name storable: bytes that are no UTF-8 become `\\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
