"""Read-only storage over any fsspec filesystem, for lakes that are no folder and in no cloud."""

import io
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, BinaryIO, TypeVar, cast

import fsspec
import pyarrow as pa

from samseg.errors import LakeError, NotFoundError, StorageError, one_line, redact
from samseg.storage.batches import Skipped, batched, ignore
from samseg.storage.clients import configure_fsspec, is_missing, transport_errors
from samseg.storage.raw_reader import RawReader
from samseg.storage.retries import Retries
from samseg.storage.uri import normal
from samseg.types import Source

T = TypeVar("T")


class FsspecStorage:
    """Read-only storage over any fsspec filesystem, for lakes."""

    def __init__(self, uri: str):
        """Open the filesystem of `uri`."""
        self.uri = normal(uri)
        configure_fsspec(self.uri)
        try:
            self._fs, root = fsspec.core.url_to_fs(self.uri)
        except (ImportError, ValueError) as e:
            raise LakeError(f"cannot open the lake {redact(uri)}: {one_line(e)}") from e
        self._root = str(root).rstrip("/")
        self._errors: tuple[type[BaseException], ...] = transport_errors()
        self._retries = Retries(remote=True)
        self._is_web = self.uri.startswith(("http://", "https://"))

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.uri,)

    def batches(self, prefix: str = "", skipped: Skipped = ignore) -> Iterator[pa.RecordBatch]:
        """See `Storage.batches`."""
        return batched(self.list(prefix, skipped))

    def list(self, prefix: str = "", skipped: Skipped = ignore) -> Iterator[Source]:
        """See `Storage.list`.

        Folders without permission are skipped, and links of web pages with a query, which would be
        stored with what it holds. Links to nothing are left out, and those out of the folder.

        Raises:
            LakeError: a folder cannot be listed, for any other reason.
        """
        start = f"{self._root}/{prefix}".rstrip("/") if prefix else self._root
        folders = [start]
        while folders:
            folder = folders.pop()
            try:
                listed = self._retries.call(partial(self._fs.ls, folder, detail=True))
            except self._errors as e:
                if self._can_skip(folder, start, prefix, e):
                    if isinstance(e, PermissionError):
                        skipped(f"{self._key_of(folder)}/", "permission denied")
                    continue
                raise LakeError(
                    f"cannot list {redact(folder)}: {one_line(e)}; check the URL and the network"
                ) from e
            for info in self._links(folder, listed, skipped) if self._is_web else listed:
                path = str(info["name"]).rstrip("/")
                if info["type"] == "directory" and path != folder:
                    folders.append(path)
                elif info["type"] == "file":
                    yield from self._source(path, info)

    def _links(
        self, folder: str, listed: Iterable[dict[str, Any]], skipped: Skipped
    ) -> Iterator[dict[str, Any]]:
        """Yield the links of a web page that are below its folder and have no query."""
        paths: set[str] = set()
        queried: set[str] = set()
        for info in listed:
            below = str(info["name"]).partition("://")[2].removeprefix(folder.partition("://")[2])
            path, query, _ = below.lstrip("/").removeprefix("./").partition("?")
            if path.strip("/") and ".." not in path.split("/"):
                (queried if query else paths).add(path)
        for path in sorted(queried - paths):  # not those that only sort a page
            skipped(
                self._key_of(f"{folder}/{path}") + "/" * path.endswith("/"),
                "a link with a query, which may be a signature; link to it without one",
            )
        for path in sorted(paths):
            kind = "directory" if path.endswith("/") else "file"
            yield {"name": f"{folder}/{path}", "size": None, "type": kind}

    def _can_skip(self, folder: str, start: str, prefix: str, error: BaseException) -> bool:
        """Tell a folder that holds nothing to list from a failure.

        Raises:
            LakeError: there is nothing at the root.
        """
        missing = isinstance(error, FileNotFoundError) and is_missing(error)
        if folder != start:
            return isinstance(error, PermissionError) or (missing and self._is_web)
        if missing and not prefix:
            raise LakeError(f"nothing exists at {redact(self.uri)}; check the URL") from error
        return missing

    def _source(self, path: str, info: dict[str, Any]) -> Iterator[Source]:
        """Yield the source of a listed file, unless it is gone."""
        key = self._key_of(path)
        size = info.get("size")
        if size is None:  # listings of web servers have no sizes
            try:
                size = self._retries.call(partial(self._fs.size, path))
            except self._errors as e:
                if isinstance(e, FileNotFoundError) and is_missing(e):
                    return
                raise LakeError(f"cannot list {redact(self.uri_of(key))}: {one_line(e)}") from e
        yield Source(key, self.uri_of(key), _etag(info), int(size or 0))

    def exists(self) -> bool:
        """Return whether there is anything at the root.

        Raises:
            StorageError: the server does not say.
        """
        try:
            self._ask("", partial(self._fs.info, self._root))
        except NotFoundError:
            return False
        return True

    def get(self, key: str) -> bytes:
        """See `Storage.get`."""

        def got() -> bytes:
            with self._fs.open(f"{self._root}/{key}", "rb") as file:
                return bytes(file.read())

        return self._ask(key, got)

    def get_version(self, key: str) -> tuple[bytes, str]:
        """See `Storage.get_version`."""
        return self.get(key), ""  # listings and answers do not agree on version tags

    def stat(self, key: str) -> Source:
        """See `Storage.stat`."""
        with self.stream(key):  # explains what fails
            info = self._ask(key, partial(self._fs.info, f"{self._root}/{key}"))
        return Source(key, self.uri_of(key), "", int(info.get("size") or 0))

    def stream(self, key: str) -> BinaryIO:
        """See `Storage.stream`."""
        opened = partial(self._fs.open, f"{self._root}/{key}", "rb")
        return cast(BinaryIO, io.BufferedReader(RawReader(opened, partial(self._ask, key))))

    def _ask(self, key: str, request: Callable[[], T]) -> T:
        """Send a request, and again where that can help; name the object if it fails.

        Raises:
            NotFoundError: there is no such object.
            StorageError: any other failure.
        """
        try:
            return self._retries.call(request)
        except self._errors as e:
            uri = redact(self.uri_of(key))
            if isinstance(e, FileNotFoundError) and is_missing(e):
                raise NotFoundError(f"no object at {uri}") from e
            wrapped = isinstance(e, FileNotFoundError) and e.__cause__
            raise StorageError(f"cannot read {uri}: {one_line(wrapped or e)}") from e

    def _key_of(self, path: str) -> str:
        return path[len(self._root) :].strip("/")

    def uri_of(self, key: str) -> str:
        """See `Storage.uri_of`."""
        return f"{self.uri}/{key}" if key else self.uri


def _etag(info: dict[str, Any]) -> str:
    for name in ("ETag", "etag", "checksum", "md5"):
        if info.get(name):
            return str(info[name]).strip('"')
    return f"{info.get('mtime', info.get('created', ''))}-{info.get('size')}"
