"""Storage over obstore: local folders and cloud stores, with commits by conditional PUT.

Every request to a cloud store is retried, also when its answer breaks midway. If the store does not
answer at all, a call ends within two minutes (see `samseg.storage.clients`). Requests to local
folders are not retried.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import obstore
from obstore import exceptions as obstore_errors
from obstore.store import LocalStore, from_url

from samseg.errors import NotFoundError, StorageError, redact
from samseg.storage.clients import client_options
from samseg.storage.local import create
from samseg.storage.retries import Retries
from samseg.storage.uri import normal
from samseg.types import Source

T = TypeVar("T")

_BUFFER_BYTES = 4 << 20
_LIST_PAGE = 1000
"""Keys in one answer of a cloud store."""


class ObjectStorage:
    """Storage over obstore: local folders and cloud stores, for reading and committing."""

    def __init__(self, uri: str):
        """Use the root `uri`; a missing local folder is created on first access."""
        self.uri = normal(uri)
        self._local = self.uri.startswith("file://")
        self._retries = Retries(remote=not self._local)
        self._store: Any = None

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.uri,)

    @property
    def _client(self) -> Any:
        if self._store is None:
            try:
                if self._local:
                    self._store = LocalStore(self.uri.removeprefix("file://"), mkdir=True)
                else:
                    self._store = from_url(
                        self.uri, client_options=client_options(), retry_config={"max_retries": 0}
                    )
            except (obstore_errors.BaseError, OSError, ValueError) as e:
                raise StorageError(f"cannot open {redact(self.uri)}: {_cause(e)}") from e
        return self._store

    def list(self, prefix: str = "") -> Iterator[Source]:
        """See `Storage.list`.

        A LIST that breaks midway goes on after the last key, because cloud stores list in the order
        of keys.
        """
        chunks: Iterator[Any] | None = None
        last: str | None = None

        def following() -> Any:
            nonlocal chunks
            try:
                if chunks is None:
                    found = obstore.list(
                        self._client, prefix=prefix or None, offset=last, chunk_size=_LIST_PAGE
                    )
                    chunks = iter(found)
                return next(chunks, ())
            except (obstore_errors.BaseError, OSError):
                chunks = None
                raise

        while chunk := self._ask("list", prefix, following):
            for found in chunk:
                last = found["path"]
                yield Source(last, self.uri_of(last), _etag(found), found["size"])

    def folders(self, prefix: str) -> set[str]:
        """Return the names of the folders directly below `prefix`, by one LIST."""

        def listed() -> Any:
            try:
                return obstore.list_with_delimiter(self._client, prefix=prefix)["common_prefixes"]
            except FileNotFoundError:
                return ()

        found = self._ask("list", prefix, listed)
        return {path.rstrip("/").rsplit("/", 1)[-1] for path in found}

    def get(self, key: str) -> bytes:
        """See `Storage.get`."""
        return self.get_version(key)[0]

    def get_version(self, key: str) -> tuple[bytes, str]:
        """See `Storage.get_version`."""

        def got() -> tuple[bytes, str]:
            found = obstore.get(self._client, key)
            return bytes(found.bytes()), _etag(found.meta)

        return self._ask("read", key, got)

    def stat(self, key: str) -> Source:
        """See `Storage.stat`."""
        found = self._ask("reach", key, lambda: obstore.head(self._client, key))
        return Source(key, self.uri_of(key), _etag(found), found["size"])

    def stream(self, key: str) -> BinaryIO:
        """See `Storage.stream`."""

        def opened() -> Any:
            return obstore.open_reader(self._client, key, buffer_size=_BUFFER_BYTES)

        reader = _RawReader(opened, lambda request: self._ask("read", key, request))
        return cast(BinaryIO, io.BufferedReader(reader, _BUFFER_BYTES))

    def put_new(self, key: str, payload: bytes) -> bool:
        """Create one object in a single atomic PUT.

        On a local file system it is on the disk afterwards.

        Returns:
            True if this call created the object, False if one exists already and is unchanged.
            Never overwrites, renames or uploads in several parts. If the answer to an earlier try
            was lost, an object with these contents is this call's.

        Raises:
            StorageError: the store failed, or does not support conditional creation.
        """
        answer_lost = False

        def put() -> bool:
            nonlocal answer_lost
            if self._local:
                return create(self._path(key), payload)
            try:
                obstore.put(self._client, key, payload, mode="create", use_multipart=False)
                return True
            except obstore_errors.AlreadyExistsError:
                return False
            except (obstore_errors.BaseError, OSError):
                answer_lost = True
                raise

        return self._ask("write", key, put) or (answer_lost and self.get(key) == payload)

    def delete(self, key: str) -> None:
        """Delete one object; only repair does."""
        self._ask("delete", key, lambda: obstore.delete(self._client, key))

    def exists(self, key: str) -> bool:
        """Return whether there is an object at `key`."""
        try:
            self.stat(key)
            return True
        except NotFoundError:
            return False

    def _ask(self, verb: str, key: str, request: Callable[[], T]) -> T:
        """Send a request, and again where that can help; name the object if it fails.

        Raises:
            NotFoundError: there is no object to read.
            StorageError: any other failure.
        """
        try:
            return self._retries.call(request)
        except (obstore_errors.BaseError, OSError) as e:
            uri = redact(self.uri_of(key))
            if isinstance(e, FileNotFoundError) and verb in ("read", "reach"):
                raise NotFoundError(f"no object at {uri}") from e
            raise StorageError(f"cannot {verb} {uri}: {_cause(e)}") from e

    def _path(self, key: str) -> Path:
        names = key.split("/")
        if not all(names) or {".", ".."} & {*names}:
            raise StorageError(f"cannot write {key!r}: it is not a path below {redact(self.uri)}")
        return Path(self.uri.removeprefix("file://"), *names)

    def uri_of(self, key: str) -> str:
        """See `Storage.uri_of`."""
        return f"{self.uri}/{key}" if key else self.uri


class _RawReader(io.RawIOBase):
    """Adapter of obstore's reader to the `io` interface that tarfile expects.

    A read that breaks is repeated at its position, by a reader opened anew.
    """

    def __init__(self, opened: Callable[[], Any], ask: Callable[[Callable[[], Any]], Any]):
        self._opened, self._ask = opened, ask
        self._reader = ask(opened)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        at, broken = self.tell(), False

        def read() -> memoryview:
            nonlocal broken
            if broken:
                self._reader = self._opened()
                self._reader.seek(at)
            broken = True
            return memoryview(self._reader.read(len(buffer)))

        chunk = self._ask(read)
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._reader.seek(offset, whence))

    def tell(self) -> int:
        return int(self._reader.tell())


def _etag(found: Any) -> str:
    """Return the version tag in an object's metadata, or its time of modification."""
    return (found["e_tag"] or str(found["last_modified"])).strip('"')


def _cause(error: BaseException) -> str:
    """Return the first line of an obstore message; the rest is a debug dump."""
    text = str(error).strip()
    first = (text.splitlines() or [type(error).__name__])[0]
    return redact(first) + (" (timed out)" if "kind: Timeout" in text else "")
