"""Object stores: the only module that knows them.

Two kinds of storage, one reading interface. `open_output` gives what a run may write to: a local
folder, `s3://`, `gs://` or `az://`, through obstore, whose conditional PUT makes a commit one
atomic create. `open_lake` gives what images may be read from: the same stores, and for every other
URL that fsspec knows (`http://`, `hf://`, `memory://` ...) a read-only storage.

Credentials and endpoints come from the environment, as for every tool of the store (`AWS_*`,
`GOOGLE_*`, `AZURE_*`); they never stand in a config.
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import urlsplit

import fsspec
import obstore
from obstore import exceptions as obstore_errors
from obstore.store import LocalStore, from_url

from samseg.errors import ConfigError, LakeError, NotFoundError, StorageError, one_line, redact
from samseg.types import Source

_CLOUD = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")
_READ_AHEAD = 4 << 20


class Storage(Protocol):
    """A tree of immutable objects below one root URI; keys are `/`-separated."""

    uri: str

    def list(self, prefix: str = "") -> Iterator[Source]:
        """Yield every object below `prefix` in no particular order; none is no error."""
        ...

    def get(self, key: str) -> bytes:
        """Read one object whole.

        Raises:
            NotFoundError: there is no such object.
            StorageError: the store failed.
        """
        ...

    def stream(self, key: str) -> BinaryIO:
        """Open one object for seekable, buffered reading."""
        ...

    def uri_of(self, key: str) -> str:
        """Return the URI that fsspec opens this object by."""
        ...


class ObjectStorage:
    """Storage over obstore: local folders and the three clouds, for reading and committing."""

    def __init__(self, uri: str):
        """Connect to `uri`; a local folder is created when it is missing."""
        self.uri = _normal(uri)
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
                    self._store = from_url(self.uri, client_options=_client_options())
            except (obstore_errors.BaseError, OSError, ValueError) as e:
                raise StorageError(f"cannot open {redact(self.uri)}: {_cause(e)}") from e
        return self._store

    def list(self, prefix: str = "") -> Iterator[Source]:
        """See `Storage.list`."""
        try:
            for chunk in obstore.list(self._client, prefix=prefix or None, chunk_size=1000):
                for found in chunk:
                    key = found["path"]
                    etag = (found["e_tag"] or str(found["last_modified"])).strip('"')
                    yield Source(key, self.uri_of(key), etag, found["size"])
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot list {redact(self.uri_of(prefix))}: {_cause(e)}") from e

    def folders(self, prefix: str) -> set[str]:
        """Return the names of the folders directly below `prefix`: one LIST, not a walk."""
        try:
            found = obstore.list_with_delimiter(self._client, prefix=prefix)
            return {path.rstrip("/").rsplit("/", 1)[-1] for path in found["common_prefixes"]}
        except FileNotFoundError:
            return set()
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot list {redact(self.uri_of(prefix))}: {_cause(e)}") from e

    def get(self, key: str) -> bytes:
        """See `Storage.get`."""
        try:
            return bytes(obstore.get(self._client, key).bytes())
        except FileNotFoundError as e:
            raise NotFoundError(f"no object at {redact(self.uri_of(key))}") from e
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot read {redact(self.uri_of(key))}: {_cause(e)}") from e

    def stream(self, key: str) -> BinaryIO:
        """See `Storage.stream`."""
        try:
            reader = obstore.open_reader(self._client, key, buffer_size=_READ_AHEAD)
            return cast(BinaryIO, io.BufferedReader(_Raw(reader), _READ_AHEAD))
        except FileNotFoundError as e:
            raise NotFoundError(f"no object at {redact(self.uri_of(key))}") from e
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot read {redact(self.uri_of(key))}: {_cause(e)}") from e

    def put_new(self, key: str, payload: bytes) -> bool:
        """Create one object in a single atomic PUT.

        Returns:
            True when this call created it, False when an object stood there already (which is
            left untouched). Never overwrites, never renames, never uploads in several parts.

        Raises:
            StorageError: the store failed, or does not support conditional creation.
        """
        try:
            obstore.put(self._client, key, payload, mode="create", use_multipart=False)
            return True
        except obstore_errors.AlreadyExistsError:
            return False
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot write {redact(self.uri_of(key))}: {_cause(e)}") from e

    def exists(self, key: str) -> bool:
        """Tell whether an object stands at `key`."""
        try:
            obstore.head(self._client, key)
            return True
        except FileNotFoundError:
            return False
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"cannot reach {redact(self.uri_of(key))}: {_cause(e)}") from e

    def uri_of(self, key: str) -> str:
        """See `Storage.uri_of`."""
        return f"{self.uri}/{key}" if key else self.uri


class FsspecStorage:
    """Read-only storage over any fsspec filesystem, for lakes."""

    def __init__(self, uri: str):
        """Open the filesystem of `uri`."""
        self.uri = _normal(uri)
        try:
            self._fs, root = fsspec.core.url_to_fs(self.uri)
        except (ImportError, ValueError) as e:
            raise LakeError(f"cannot open the lake {redact(uri)}: {one_line(e)}") from e
        self._root = str(root).rstrip("/")

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.uri,)

    def list(self, prefix: str = "") -> Iterator[Source]:
        """See `Storage.list`. Broken links and unreadable folders are passed over."""
        start = f"{self._root}/{prefix}".rstrip("/") if prefix else self._root
        try:
            for path, _, files in self._fs.walk(start, detail=True):
                below = str(path).rstrip("/")[len(self._root) :].strip("/")
                for name, info in files.items():
                    key = f"{below}/{name}" if below else name
                    size = info.get("size")
                    if info.get("type") == "file" and size is not None and _is_text(key):
                        yield Source(key, self.uri_of(key), _etag(info), int(size))
        except OSError as e:
            raise LakeError(f"cannot list {redact(start)}: {one_line(e)}") from e

    def get(self, key: str) -> bytes:
        """See `Storage.get`."""
        with self.stream(key) as f:
            try:
                return f.read()
            except OSError as e:
                uri = redact(self.uri_of(key))
                raise StorageError(f"cannot read {uri}: {one_line(e)}") from e

    def stream(self, key: str) -> BinaryIO:
        """See `Storage.stream`."""
        try:
            return cast(BinaryIO, self._fs.open(f"{self._root}/{key}", "rb"))
        except FileNotFoundError as e:
            raise NotFoundError(f"no object at {redact(self.uri_of(key))}") from e
        except OSError as e:
            raise StorageError(f"cannot read {redact(self.uri_of(key))}: {one_line(e)}") from e

    def uri_of(self, key: str) -> str:
        """See `Storage.uri_of`."""
        return f"{self.uri}/{key}" if key else self.uri


class _Raw(io.RawIOBase):
    """Gives obstore's reader the io interface that tarfile and pyarrow expect."""

    def __init__(self, reader: Any):
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            chunk = memoryview(self._reader.read(len(buffer)))
        except (obstore_errors.BaseError, OSError) as e:
            raise StorageError(f"the stream broke off: {_cause(e)}") from e
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._reader.seek(offset, whence))

    def tell(self) -> int:
        return int(self._reader.tell())


def open_output(uri: str) -> ObjectStorage:
    """Open the root of an output folder.

    Raises:
        ConfigError: the URL's scheme has no conditional create.
    """
    scheme = urlsplit(_normal(uri)).scheme
    if scheme != "file" and scheme not in _CLOUD:
        raise ConfigError(
            f"output: cannot commit to {scheme}:// ({redact(uri)}): it has no atomic create; "
            "use a local path, s3://, gs:// or az://"
        )
    return ObjectStorage(uri)


def open_lake(uri: str) -> Storage:
    """Open the root of an image lake: any fsspec URL; the clouds go through obstore.

    Raises:
        LakeError: a local folder that does not exist, or a URL that fsspec cannot open.
    """
    scheme = urlsplit(_normal(uri)).scheme
    if scheme in _CLOUD:
        return ObjectStorage(uri)
    if scheme == "file" and not Path(_normal(uri).removeprefix("file://")).exists():
        raise LakeError(f"the lake {uri} does not exist; check `reader.uri` in the config")
    return FsspecStorage(uri)


def open_uri(uri: str) -> Any:
    """Open one object by the URI that a table holds (`tar://member::uri` included).

    Returns:
        An fsspec OpenFile: use it in a `with`. Clouds go through obstore, so that no other
        client library is needed.
    """
    _register_clouds()
    return fsspec.open(uri, "rb")


def filesystem(uri: str) -> Any:
    """Return an fsspec filesystem for `uri` (clouds through obstore), for DuckDB and pyarrow."""
    _register_clouds()
    return fsspec.core.url_to_fs(uri)[0]


def _register_clouds() -> None:
    """Let obstore serve the clouds in fsspec, unless the user has registered a client."""
    from obstore.fsspec import register

    for protocol in ("s3", "gs", "az"):
        if protocol not in fsspec.registry:
            register(protocol)
            options = {"client_options": _client_options()}
            fsspec.config.conf[protocol] = options | fsspec.config.conf.get(protocol, {})


def _client_options() -> dict[str, Any]:
    """Allow plain http where the endpoint that the environment names is plain http."""
    return {"allow_http": os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")}


def _normal(uri: str) -> str:
    """Write local paths as absolute `file://` URIs and drop trailing slashes."""
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    elif "://" in uri or "::" in uri:
        return uri.rstrip("/")
    return "file://" + (str(Path(uri).expanduser().absolute()).rstrip("/") or "/")


def _etag(info: dict[str, Any]) -> str:
    for name in ("ETag", "etag", "checksum", "md5"):
        if info.get(name):
            return str(info[name]).strip('"')
    return f"{info.get('mtime', info.get('created', ''))}-{info.get('size')}"


def _is_text(key: str) -> bool:
    """Tell whether a key can stand in a table: file names that are not UTF-8 cannot."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cause(error: BaseException) -> str:
    """Return the first line of an obstore message; the rest is a debug dump."""
    return redact((str(error).strip().splitlines() or [type(error).__name__])[0])
