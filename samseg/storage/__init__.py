"""Object stores behind one reading interface; only this package imports obstore and fsspec.

`open_output` opens a store for writing: a local folder, `s3://`, `gs://` or `az://`, through
obstore, whose conditional PUT commits an object in one atomic create. `open_lake` opens a store for
reading images: the same stores, and read-only storage over every other URL that fsspec supports
(`http://`, `hf://`, `memory://` ...).

Credentials and endpoints come from the store's standard environment variables (`AWS_*`,
`GOOGLE_*`, `AZURE_*`), never from a config.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import fsspec
import pyarrow as pa

from samseg.errors import ConfigError, LakeError, redact
from samseg.location import WITHOUT_CREDENTIALS
from samseg.redaction import holds_credentials
from samseg.storage.batches import LISTED, Skipped, batch_of, ignore
from samseg.storage.clients import configure_fsspec, transport_errors
from samseg.storage.decoding import decoding
from samseg.storage.files import FsspecStorage
from samseg.storage.folders import LocalStorage, open_local
from samseg.storage.objects import ObjectStorage
from samseg.storage.uri import CLOUDS, bucket_and_key, normal, scheme_of
from samseg.types import Source

__all__ = [
    "LISTED",
    "FsspecStorage",
    "LocalStorage",
    "ObjectStorage",
    "Opener",
    "Skipped",
    "Storage",
    "batch_of",
    "decoding",
    "exists",
    "filesystem",
    "normal",
    "open_lake",
    "open_output",
    "open_uri",
    "transport_errors",
]


class Storage(Protocol):
    """A tree of immutable objects below one root URI; keys are `/`-separated."""

    uri: str

    def list(self, prefix: str = "", skipped: Skipped = ignore) -> Iterator[Source]:
        """Yield the objects below `prefix`, possibly none, in no particular order.

        Args:
            prefix: a folder; empty for the root.
            skipped: called for what cannot be listed or addressed.

        Raises:
            LakeError, StorageError: the listing is not whole, for any other reason.
        """
        ...

    def batches(self, prefix: str = "", skipped: Skipped = ignore) -> Iterator[pa.RecordBatch]:
        """Yield the objects as `list` does, as record batches of the columns `LISTED`."""
        ...

    def get(self, key: str) -> bytes:
        """Read one whole object.

        Raises:
            NotFoundError: there is no such object.
            StorageError: the store failed.
        """
        ...

    def get_version(self, key: str) -> tuple[bytes, str]:
        """Read one whole object as `get`, and its version tag; empty if the store has none."""
        ...

    def stat(self, key: str) -> Source:
        """Return an object as `list` does; `etag` is empty if the store has none.

        Raises:
            NotFoundError: there is no such object.
            StorageError: the store failed.
        """
        ...

    def stream(self, key: str) -> BinaryIO:
        """Open one object for seekable, buffered reading."""
        ...

    def uri_of(self, key: str) -> str:
        """Return the URI by which fsspec opens this object."""
        ...


def open_output(uri: str) -> ObjectStorage:
    """Open the root of an output folder.

    Raises:
        ConfigError: the URL's scheme does not support conditional creation, or it holds
            credentials.
    """
    _require_no_credentials(uri)
    scheme = scheme_of(normal(uri))
    if scheme != "file" and scheme not in CLOUDS:
        raise ConfigError(
            f"output: cannot commit to {scheme}:// ({redact(uri)}), which has no atomic create; "
            "use a local path, s3://, gs:// or az://"
        )
    return ObjectStorage(uri)


def _require_no_credentials(uri: str) -> None:
    if holds_credentials(uri):
        raise ConfigError(f"{redact(uri)}: the URI {WITHOUT_CREDENTIALS}")


def open_lake(uri: str) -> Storage:
    """Open the root of an image lake: any fsspec URL; cloud stores go through obstore.

    Raises:
        ConfigError: the URL holds credentials.
        LakeError: a local folder that does not exist, or a URL that fsspec cannot open.
    """
    _require_no_credentials(uri)
    scheme = scheme_of(normal(uri))
    if scheme in CLOUDS:
        return ObjectStorage(uri)
    if scheme != "file":
        return FsspecStorage(uri)
    if not Path(normal(uri).removeprefix("file://")).exists():
        raise LakeError(f"the lake {uri} does not exist; check `reader.uri` in the config")
    return LocalStorage(uri)


def exists(uri: str) -> bool:
    """Return whether anything exists at a URI, or below it.

    Raises:
        LakeError, StorageError: the store does not say.
    """
    uri = normal(uri)
    scheme = scheme_of(uri)
    if scheme == "file":
        return os.path.lexists(uri.removeprefix("file://"))
    if scheme not in CLOUDS:
        return FsspecStorage(uri).exists()
    folder, _, name = uri.rpartition("/")
    return ObjectStorage(folder).exists(name) or any(ObjectStorage(uri).batches())


def open_uri(uri: str) -> AbstractContextManager[BinaryIO]:
    """Open one object by the URI stored in a table; see `Opener`."""
    return Opener().open(uri)


class Opener:
    """Opens objects by their URIs, through one client per store."""

    def __init__(self) -> None:
        """Connect to no store yet."""
        self._stores: dict[str, Storage] = {}

    def open(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """Open one object for reading: through the storage that its lake is read with.

        Raises:
            StorageError: it cannot be opened.
            OSError, ValueError, ImportError: fsspec cannot open a URL of another kind.
        """
        uri = normal(uri)
        scheme = scheme_of(uri)
        if scheme != "file" and scheme not in CLOUDS:
            configure_fsspec(uri)
            return cast(AbstractContextManager[BinaryIO], fsspec.open(uri, "rb"))
        if scheme == "file":
            return open_local(uri)
        bucket, key = bucket_and_key(uri)
        root = f"{scheme}://{bucket}"
        if root not in self._stores:
            self._stores[root] = ObjectStorage(root)
        return self._stores[root].stream(key)


def filesystem(uri: str) -> Any:
    """Return an fsspec filesystem for `uri`; cloud stores go through obstore."""
    uri = normal(uri)
    configure_fsspec(uri)
    scheme = scheme_of(uri)
    if scheme in ("s3", "gs", "az"):  # a path may hold what fsspec takes for a chain of URLs
        return fsspec.filesystem(scheme)
    return fsspec.core.url_to_fs(uri)[0]
