"""Streaming of the images of one tar: nothing is extracted to disk, and links lead to members only.

Member names are never used as paths, so `../x.jpg` or `/etc/x.jpg` is read like any other member.
"""

import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from posixpath import dirname, join, normpath
from typing import Any, BinaryIO, NamedTuple, cast

from samseg.errors import ImageError, ShardError, StorageError, one_line
from samseg.readers.decode import oversized
from samseg.readers.decompression import decompressed

_BLOCK = 1 << 18
_DAMAGE = (
    *(tarfile.TarError, EOFError, ValueError, TypeError, LookupError, OverflowError),
    RecursionError,
)
"""What tarfile raises on damaged archives."""

_LONGEST_CHAIN = 8
_MAX_MEMBERS = 2_000_000
_MAX_HEADER_BYTES = 1 << 20
"""Of one long name or PAX header, and of all global PAX headers together."""

_EXTENSIONS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
"""Types of headers that tarfile reads into memory."""


class Member(NamedTuple):
    """One image in a tar.

    Attributes:
        name: its name in the tar, made unique: the second member of the same name gets `~2`.
        payload: its bytes, or the reason why they were not read.
    """

    name: str
    payload: bytes | ImageError


class Link(NamedTuple):
    """In place of the bytes of a member that is a link to another one."""

    target: str


class _Archive(tarfile.TarFile):
    """A tar with what bounds its headers."""

    headers = 0
    names = 0
    ended = False


class _Header(tarfile.TarInfo):
    """A header that raises where it is damaged; tarfile would treat it as the end of the tar.

    Archives written one after the other are one archive; after the end of one, another or the end
    of the file must follow.
    """

    @classmethod
    def fromtarfile(cls, archive: Any) -> "_Header":
        try:
            found = super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            archive.ended = True
            raise
        except tarfile.EmptyHeaderError as e:  # type: ignore[attr-defined]
            if archive.ended:
                raise
            raise tarfile.ReadError(f"{e or 'no end marker'} at byte {archive.offset}") from e
        except tarfile.HeaderError as e:
            raise tarfile.ReadError(f"{e or 'no end marker'} at byte {archive.offset}") from e
        archive.ended = False
        return found

    def _proc_member(self, archive: Any) -> Any:
        archive.names += 1
        if archive.names > _MAX_MEMBERS:
            raise tarfile.ReadError(f"more than {_MAX_MEMBERS:,} members")
        if self.type in _EXTENSIONS:
            total = archive.headers + self.size if self.type == tarfile.XGLTYPE else 0
            archive.headers = total or archive.headers
            if max(self.size, total) > _MAX_HEADER_BYTES:
                raise tarfile.ReadError(f"headers of more than {_MAX_HEADER_BYTES:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


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


def images(
    opened: Callable[[], AbstractContextManager[Any]],
    wanted: Callable[[str], bool],
    max_bytes: int,
    plain: bool = False,
) -> Iterator[Member]:
    """Yield the images of a tar in order, and then those that are links to other members.

    Args:
        opened: opens the tar's bytes from their beginning. Called again where there are links.
        wanted: whether the member of this name is an image.
        max_bytes: larger members are not read.
        plain: the bytes are not compressed, whatever they begin with (a range of a tar begins with
            a name).

    Raises:
        ShardError: the tar is damaged or truncated; every image before that point was yielded.
    """
    links: dict[str, str] = {}
    damage: ShardError | None = None
    try:
        with opened() as stream:
            for name, payload in members(stream, wanted, max_bytes, plain):
                if isinstance(payload, Link):
                    links[name] = payload.target
                else:
                    yield Member(name, payload)
    except ShardError as e:
        damage = e
    if links:
        yield from _linked(opened, links, max_bytes)
    if damage is not None:
        raise damage


def _linked(
    opened: Callable[[], AbstractContextManager[Any]], links: dict[str, str], max_bytes: int
) -> Iterator[Member]:
    """Yield the members that links lead to; each step of a chain of links is one more pass."""
    names: dict[str, list[str]] = {}
    for name, target in links.items():
        names.setdefault(target, []).append(name)
    for _ in range(_LONGEST_CHAIN):
        further: dict[str, list[str]] = {}
        targets = frozenset(names)
        with opened() as stream, suppress(ShardError):
            for found, payload in members(stream, partial(_is_among, targets), max_bytes):
                linked = names.pop(normpath(found), [])
                if isinstance(payload, Link):
                    further.setdefault(payload.target, []).extend(linked)
                else:
                    yield from (Member(name, payload) for name in linked)
                if not names:
                    break
        yield from _dangling(names)
        names = further
        if not names:
            return
    yield from _dangling(names)


def _is_among(paths: frozenset[str], name: str) -> bool:
    return normpath(name) in paths


def _dangling(names: dict[str, list[str]]) -> Iterator[Member]:
    for target, linked in names.items():
        for name in linked:
            reason = f"a link to {target}, which is no file in the tar"
            yield Member(name, ImageError("unreadable", reason))


def members(
    stream: BinaryIO | SizedStream,
    wanted: Callable[[str], bool],
    max_bytes: int,
    plain: bool = False,
) -> Iterator[tuple[str, bytes | ImageError | Link]]:
    """Yield the wanted members of a tar, plain or compressed, in order.

    Args:
        stream: the tar's bytes; read once, sequentially.
        wanted: whether the member of this name is an image.
        max_bytes: larger members are not read.
        plain: as in `images`.

    Raises:
        ShardError: the tar is damaged or truncated; every image before that point was yielded.
    """
    counts: dict[str, int] = {}
    try:
        with _Archive.open(
            fileobj=cast(Any, stream if plain else decompressed(stream)),
            mode="r|",
            bufsize=_BLOCK,
            tarinfo=_Header,
            ignore_zeros=True,
        ) as archive:
            while (header := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # bounds memory
                name = text_of(header.name)
                if header.isdir() or not wanted(name):
                    continue
                name = _unique(name, counts)
                if header.islnk() or header.issym():
                    folder = dirname(header.name) if header.issym() else ""
                    yield name, Link(normpath(text_of(join(folder, header.linkname))))
                elif not header.isreg():
                    yield name, ImageError("unreadable", "a device or FIFO, not a file")
                elif header.size > max_bytes:
                    yield name, oversized(header.size, max_bytes)
                else:
                    opened = archive.extractfile(header)
                    payload = opened.read() if opened else b""
                    if len(payload) < header.size:
                        raise tarfile.ReadError(f"{name} is truncated")
                    yield name, payload
    except _DAMAGE as e:
        raise ShardError(f"the tar is damaged or truncated: {one_line(e)}") from e


def headers(stream: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of a plain tar that is not damaged; what lies between is not read.

    The offset of a header is where its extensions (a long name, PAX) begin.

    Args:
        stream: the tar's bytes, seekable.

    Raises:
        ShardError: it is compressed, damaged or truncated, or has headers that apply to all members
            after them.
    """
    try:
        with _Archive.open(
            fileobj=stream, mode="r:", tarinfo=_Header, ignore_zeros=True
        ) as archive:
            while (header := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # bounds memory
                if archive.pax_headers:
                    raise tarfile.ReadError("global PAX headers")
                yield header
    except _DAMAGE as e:
        raise ShardError(f"not a plain tar, or a damaged one: {one_line(e)}") from e


def _unique(name: str, counts: dict[str, int]) -> str:
    """Return a name that no earlier member has, in constant time on average."""
    n = counts.get(name, 0) + 1
    made = name if n == 1 else f"{name}~{n}"
    while n > 1 and made in counts:
        n += 1
        made = f"{name}~{n}"
    counts[name] = n
    counts.setdefault(made, 1)
    return made


def text_of(name: str) -> str:
    """Return a name as valid UTF-8: other bytes become `\\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
