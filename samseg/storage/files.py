"""Read-only storage over any fsspec filesystem, for lakes that obstore cannot open."""

from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from samseg.errors import LakeError, NotFoundError, StorageError, one_line, redact
from samseg.storage.uri import normal, transport_errors
from samseg.types import Source


class FsspecStorage:
    """Read-only storage over any fsspec filesystem, for lakes."""

    def __init__(self, uri: str):
        """Open the filesystem of `uri`."""
        self.uri = normal(uri)
        try:
            self._fs, root = fsspec.core.url_to_fs(self.uri)
        except (ImportError, ValueError) as e:
            raise LakeError(f"cannot open the lake {redact(uri)}: {one_line(e)}") from e
        self._root = str(root).rstrip("/")
        self._errors: tuple[type[BaseException], ...] = transport_errors()

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.uri,)

    def list(self, prefix: str = "") -> Iterator[Source]:
        """See `Storage.list`. Broken links and unreadable subfolders are skipped.

        Raises:
            LakeError: the root itself cannot be listed.
        """
        start = f"{self._root}/{prefix}".rstrip("/") if prefix else self._root
        try:
            self._fs.ls(start, detail=False)
        except FileNotFoundError as e:
            if prefix:
                return
            raise LakeError(f"nothing exists at {redact(self.uri)}; check the URL") from e
        except self._errors as e:
            raise LakeError(
                f"cannot list {redact(start)}: {one_line(e)}; check the URL and the network"
            ) from e
        for path, _, files in self._fs.walk(start, detail=True):
            below = str(path).rstrip("/")[len(self._root) :].strip("/")
            for name, info in files.items():
                key = f"{below}/{name}" if below else name
                if info.get("type") == "file" and _is_text(key):
                    size = info.get("size")
                    if size is None:  # listings of web servers have no sizes
                        size = self._fs.size(f"{self._root}/{key}") or 0
                    yield Source(key, self.uri_of(key), _etag(info), int(size))

    def get(self, key: str) -> bytes:
        """See `Storage.get`."""
        with self.stream(key) as f:
            try:
                return f.read()
            except self._errors as e:
                uri = redact(self.uri_of(key))
                raise StorageError(f"cannot read {uri}: {one_line(e)}") from e

    def get_version(self, key: str) -> tuple[bytes, str]:
        """See `Storage.get_version`."""
        etag = self.stat(key).etag if self._has_versions else ""
        return self.get(key), etag

    def stat(self, key: str) -> Source:
        """See `Storage.stat`."""
        with self.stream(key):  # explains what fails
            try:
                info = self._fs.info(f"{self._root}/{key}")
            except self._errors as e:
                raise StorageError(f"cannot read {redact(self.uri_of(key))}: {one_line(e)}") from e
        etag = _etag(info) if self._has_versions else ""
        return Source(key, self.uri_of(key), etag, int(info.get("size") or 0))

    @property
    def _has_versions(self) -> bool:
        """Whether `list` and `stat` agree on version tags; of others only sizes are compared."""
        return isinstance(self._fs, LocalFileSystem)

    def stream(self, key: str) -> BinaryIO:
        """See `Storage.stream`."""
        try:
            return cast(BinaryIO, self._fs.open(f"{self._root}/{key}", "rb"))
        except FileNotFoundError as e:
            if not _is_missing(e):
                cause = one_line(e.__cause__ or e)
                raise StorageError(f"cannot read {redact(self.uri_of(key))}: {cause}") from e
            raise NotFoundError(f"no object at {redact(self.uri_of(key))}") from e
        except self._errors as e:
            raise StorageError(f"cannot read {redact(self.uri_of(key))}: {one_line(e)}") from e

    def uri_of(self, key: str) -> str:
        """See `Storage.uri_of`."""
        return f"{self.uri}/{key}" if key else self.uri


def _is_missing(error: FileNotFoundError) -> bool:
    """Tell a missing object from other failures: fsspec raises this for any HTTP failure."""
    from aiohttp import ClientError

    cause = error.__cause__
    if not isinstance(cause, ClientError | TimeoutError):
        return True
    return getattr(cause, "status", None) in (404, 410)


def _etag(info: dict[str, Any]) -> str:
    for name in ("ETag", "etag", "checksum", "md5"):
        if info.get(name):
            return str(info[name]).strip('"')
    return f"{info.get('mtime', info.get('created', ''))}-{info.get('size')}"


def _is_text(key: str) -> bool:
    """Return whether a key is valid UTF-8 and can be stored in a table."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True
