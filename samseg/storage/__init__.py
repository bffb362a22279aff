"""Object stores behind one reading interface; only this package imports obstore and fsspec.

`open_output` opens a store for writing: a local folder, `s3://`, `gs://` or `az://`, through
obstore, whose conditional PUT commits an object in one atomic create. `open_lake` opens a store for
reading images: the same stores, and read-only storage over every other URL that fsspec supports
(`http://`, `hf://`, `memory://` ...).

Credentials and endpoints come from the store's standard environment variables (`AWS_*`,
`GOOGLE_*`, `AZURE_*`), never from a config.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

import fsspec

from samseg.errors import ConfigError, LakeError, redact
from samseg.storage.clients import configure_fsspec, transport_errors
from samseg.storage.decoding import decoding
from samseg.storage.files import FsspecStorage
from samseg.storage.objects import ObjectStorage
from samseg.storage.uri import CLOUDS, normal
from samseg.types import Source

__all__ = [
    "FsspecStorage",
    "ObjectStorage",
    "Storage",
    "decoding",
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

    def list(self, prefix: str = "") -> Iterator[Source]:
        """Yield the objects below `prefix`, possibly none, in no particular order."""
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
        ConfigError: the URL's scheme does not support conditional creation.
    """
    scheme = urlsplit(normal(uri)).scheme
    if scheme != "file" and scheme not in CLOUDS:
        raise ConfigError(
            f"output: cannot commit to {scheme}:// ({redact(uri)}), which has no atomic create; "
            "use a local path, s3://, gs:// or az://"
        )
    return ObjectStorage(uri)


def open_lake(uri: str) -> Storage:
    """Open the root of an image lake: any fsspec URL; cloud stores go through obstore.

    Raises:
        LakeError: a local folder that does not exist, or a URL that fsspec cannot open.
    """
    scheme = urlsplit(normal(uri)).scheme
    if scheme in CLOUDS:
        return ObjectStorage(uri)
    if scheme == "file" and not Path(normal(uri).removeprefix("file://")).exists():
        raise LakeError(f"the lake {uri} does not exist; check `reader.uri` in the config")
    return FsspecStorage(uri)


def open_uri(uri: str) -> Any:
    """Open one object by the URI stored in a table (`tar://member::uri` included).

    Returns:
        An fsspec `OpenFile`, a context manager. Cloud stores go through obstore, so that no other
        client library is needed.
    """
    configure_fsspec()
    return fsspec.open(uri, "rb")


def filesystem(uri: str) -> Any:
    """Return an fsspec filesystem for `uri`; cloud stores go through obstore."""
    configure_fsspec()
    return fsspec.core.url_to_fs(uri)[0]
