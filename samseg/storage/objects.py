"""Storage over obstore: local folders and cloud stores, with commits by conditional PUT."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import obstore
from obstore import exceptions as obstore_errors
from obstore.store import LocalStore, from_url

from samseg.errors import NotFoundError, StorageError, redact
from samseg.storage.local import create
from samseg.storage.uri import client_options, normal
from samseg.types import Source

_BUFFER_BYTES = 4 << 20


class ObjectStorage:
    """Storage over obstore: local folders and cloud stores, for reading and committing."""

    def __init__(self, uri: str):
        """Use the root `uri`; a missing local folder is created on first access."""
        self.uri = normal(uri)
        self._store: Any = None

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.uri,)

    @property
    def _client(self) -> Any:
        if self._store is None:
            scheme = urlsplit(self.uri).scheme
            try:
                if scheme == "file":
                    self._store = LocalStore(self.uri.removeprefix("file://"), mkdir=True)
                else:
                    self._store = from_url(self.uri, client_options=client_options())
            except (obstore_errors.BaseError, OSError, ValueError) as e:
                raise StorageError(f"cannot open {redact(self.uri)}: {_cause(e)}") from e
        return self._store

    def list(self, prefix: str = "") -> Iterator[Source]:
        """See `Storage.list`."""
        try:
            for chunk in obstore.list(self._client, prefix=prefix or None, chunk_size=1000):
                for found in chunk:
                    key = found["path"]
                    yield Source(key, self.uri_of(key), _etag(found), found["size"])
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot list {redact(self.uri_of(prefix))}: {_cause(e)}") from e

    def folders(self, prefix: str) -> set[str]:
        """Return the names of the folders directly below `prefix`, by one LIST."""
        try:
            found = obstore.list_with_delimiter(self._client, prefix=prefix)
            return {path.rstrip("/").rsplit("/", 1)[-1] for path in found["common_prefixes"]}
        except FileNotFoundError:
            return set()
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot list {redact(self.uri_of(prefix))}: {_cause(e)}") from e

    def get(self, key: str) -> bytes:
        """See `Storage.get`."""
        return self.get_version(key)[0]

    def get_version(self, key: str) -> tuple[bytes, str]:
        """See `Storage.get_version`."""
        try:
            found = obstore.get(self._client, key)
            return bytes(found.bytes()), _etag(found.meta)
        except FileNotFoundError as e:
            raise NotFoundError(f"no object at {redact(self.uri_of(key))}") from e
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot read {redact(self.uri_of(key))}: {_cause(e)}") from e

    def stat(self, key: str) -> Source:
        """See `Storage.stat`."""
        try:
            found = obstore.head(self._client, key)
        except FileNotFoundError as e:
            raise NotFoundError(f"no object at {redact(self.uri_of(key))}") from e
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot reach {redact(self.uri_of(key))}: {_cause(e)}") from e
        return Source(key, self.uri_of(key), _etag(found), found["size"])

    def stream(self, key: str) -> BinaryIO:
        """See `Storage.stream`."""
        try:
            reader = obstore.open_reader(self._client, key, buffer_size=_BUFFER_BYTES)
            return cast(
                BinaryIO, io.BufferedReader(_RawReader(reader, self.uri_of(key)), _BUFFER_BYTES)
            )
        except FileNotFoundError as e:
            raise NotFoundError(f"no object at {redact(self.uri_of(key))}") from e
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot read {redact(self.uri_of(key))}: {_cause(e)}") from e

    def put_new(self, key: str, payload: bytes) -> bool:
        """Create one object in a single atomic PUT.

        On a local file system it is on the disk afterwards.

        Returns:
            True if this call created the object, False if one exists already and is unchanged.
            Never overwrites, renames or uploads in several parts.

        Raises:
            StorageError: the store failed, or does not support conditional creation.
        """
        try:
            if self.uri.startswith("file://"):
                return create(self._path(key), payload)
            obstore.put(self._client, key, payload, mode="create", use_multipart=False)
            return True
        except obstore_errors.AlreadyExistsError:
            return False
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot write {redact(self.uri_of(key))}: {_cause(e)}") from e

    def delete(self, key: str) -> None:
        """Delete one object; only repair does."""
        try:
            obstore.delete(self._client, key)
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot delete {redact(self.uri_of(key))}: {_cause(e)}") from e

    def exists(self, key: str) -> bool:
        """Return whether there is an object at `key`."""
        try:
            obstore.head(self._client, key)
            return True
        except FileNotFoundError:
            return False
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot reach {redact(self.uri_of(key))}: {_cause(e)}") from e

    def _path(self, key: str) -> Path:
        names = key.split("/")
        if not all(names) or {".", ".."} & {*names}:
            raise StorageError(f"cannot write {key!r}: it is not a path below {redact(self.uri)}")
        return Path(self.uri.removeprefix("file://"), *names)

    def uri_of(self, key: str) -> str:
        """See `Storage.uri_of`."""
        return f"{self.uri}/{key}" if key else self.uri


class _RawReader(io.RawIOBase):
    """Adapter of obstore's reader to the `io` interface that tarfile expects."""

    def __init__(self, reader: Any, uri: str):
        self._reader, self._uri = reader, uri

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            chunk = memoryview(self._reader.read(len(buffer)))
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot read on in {redact(self._uri)}: {_cause(e)}") from e
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
    return redact((str(error).strip().splitlines() or [type(error).__name__])[0])
