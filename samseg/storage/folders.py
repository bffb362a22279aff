# Names of files are bytes here, which pathlib does not take.
# ruff: noqa: PTH110, PTH116, PTH118
r"""Read-only storage over a local folder, for lakes.

Keys are text. File names are bytes, so a byte that is not UTF-8 is written `\xNN`, and a
backslash that would read as such an escape `\x5c`; reading a key reverses this. All other
names, with `#`, `%` or `[`, are their own keys.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import pyarrow as pa

from samseg.errors import LakeError, NotFoundError, StorageError, one_line, redact
from samseg.storage.batches import Skipped, batched, ignore
from samseg.storage.uri import normal
from samseg.types import Source

T = TypeVar("T")

_ESCAPE = re.compile(rb"\\x(5c|[89a-f][0-9a-f])")
_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}


class LocalStorage:
    """Read-only storage over a local folder; links to files and folders are followed."""

    def __init__(self, uri: str):
        """Use the folder `uri`."""
        self.uri = normal(uri)
        self._root = os.fsencode(self.uri.removeprefix("file://") or "/")

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.uri,)

    def batches(self, prefix: str = "", skipped: Skipped = ignore) -> Iterator[pa.RecordBatch]:
        """See `Storage.batches`."""
        return batched(self.list(prefix, skipped))

    def list(self, prefix: str = "", skipped: Skipped = ignore) -> Iterator[Source]:
        """See `Storage.list`.

        A link to a folder that the link is in is not followed. Skipped are folders without
        permission, links to nothing, and what is neither a file nor a folder.

        Raises:
            LakeError: a folder cannot be listed, for any other reason.
        """
        start = os.path.join(self._root, bytes_of(prefix.rstrip("/")))
        pending: list[tuple[bytes, tuple[tuple[int, int], ...]]] = [(start, ())]
        while pending:
            folder, above = pending.pop()
            try:
                found = os.stat(folder)
                with os.scandir(folder) as entries:
                    inside = [*entries]
            except OSError as e:
                if folder == start and prefix and isinstance(e, FileNotFoundError):
                    return
                if folder == start or not isinstance(e, PermissionError):
                    text = os.fsdecode(folder)
                    raise LakeError(f"cannot list {text}: {one_line(e)}; check the folder") from e
                skipped(f"{self._key_of(folder)}/", _reason(e))
                continue
            here = (*above, (found.st_dev, found.st_ino))
            for entry in inside:
                try:
                    status = entry.stat()
                    if stat.S_ISDIR(status.st_mode):
                        linked = entry.is_symlink() and (status.st_dev, status.st_ino) in here
                        pending += [] if linked else [(entry.path, here)]
                        continue
                except OSError as e:
                    link = isinstance(e, FileNotFoundError) and entry.is_symlink()
                    if link or not isinstance(e, FileNotFoundError):  # else deleted meanwhile
                        skipped(
                            self._key_of(entry.path), "a link to nothing" if link else _reason(e)
                        )
                    continue
                key = self._key_of(entry.path)
                if stat.S_ISREG(status.st_mode):
                    yield Source(key, self.uri_of(key), _etag(status), status.st_size)
                else:
                    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a device")
                    skipped(key, f"{kind}, not a file")

    def get(self, key: str) -> bytes:
        """See `Storage.get`."""
        return self._ask(key, self._path(key).read_bytes)

    def get_version(self, key: str) -> tuple[bytes, str]:
        """See `Storage.get_version`."""

        def got() -> tuple[bytes, str]:
            with self._path(key).open("rb") as file:
                return file.read(), _etag(os.fstat(file.fileno()))

        return self._ask(key, got)

    def stat(self, key: str) -> Source:
        """See `Storage.stat`."""
        status = self._ask(key, self._path(key).stat)
        return Source(key, self.uri_of(key), _etag(status), status.st_size)

    def stream(self, key: str) -> BinaryIO:
        """See `Storage.stream`."""
        return cast(BinaryIO, self._ask(key, partial(self._path(key).open, "rb")))

    def uri_of(self, key: str) -> str:
        """See `Storage.uri_of`."""
        return f"{self.uri}/{key}" if key else self.uri

    def _ask(self, key: str, request: Callable[[], T]) -> T:
        """Read from the disk; name the file if that fails.

        Raises:
            NotFoundError: there is no such file.
            StorageError: any other failure.
        """
        try:
            return request()
        except (FileNotFoundError, NotADirectoryError) as e:
            raise NotFoundError(f"no object at {redact(self.uri_of(key))}: {_reason(e)}") from e
        except (OSError, ValueError) as e:
            raise StorageError(f"cannot read {redact(self.uri_of(key))}: {one_line(e)}") from e

    def _path(self, key: str) -> Path:
        return Path(os.fsdecode(os.path.join(self._root, bytes_of(key))))

    def _key_of(self, path: bytes) -> str:
        return text_of(path[len(self._root) :].lstrip(b"/"))


def open_local(uri: str) -> BinaryIO:
    """Open one file by its URI, which may be that of a folder without escapes and a key.

    Raises:
        NotFoundError, StorageError: as `Storage.stream`.
    """
    path = uri.removeprefix("file://")
    key = text_of(os.fsencode(path)) if os.path.exists(path) else path
    return LocalStorage("/").stream(key.lstrip("/"))


def bytes_of(key: str) -> bytes:
    """Return the path that a key stands for."""
    return _ESCAPE.sub(
        lambda m: bytes.fromhex(m[1].decode()), key.encode("utf-8", "surrogateescape")
    )


def text_of(path: bytes) -> str:
    """Return the key of a path."""
    escaped = _ESCAPE.sub(lambda m: rb"\x5c" + m[0][1:], path)
    return escaped.decode("utf-8", "backslashreplace")


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime}-{status.st_size}"


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or errno.EIO)
