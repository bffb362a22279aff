"""Object stores: the only module that knows them.

Two kinds of storage, one reading interface. `open_output` gives what a run may write to: a local
folder, `s3://`, `gs://` or `az://`, through obstore, whose conditional PUT makes a commit one
atomic create. `open_lake` gives what images may be read from: the same stores, and for every other
URL that fsspec knows (`http://`, `hf://`, `memory://` ...) a read-only storage.

Credentials and endpoints come from the environment, as for every tool of the store (`AWS_*`,
`GOOGLE_*`, `AZURE_*`); they never stand in a config.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

import fsspec

from samseg.errors import ConfigError, LakeError, redact
from samseg.storage.files import FsspecStorage
from samseg.storage.objects import ObjectStorage
from samseg.storage.uri import CLOUDS, client_options, normal, transport_errors
from samseg.types import Source

__all__ = [
    "FsspecStorage",
    "ObjectStorage",
    "Storage",
    "filesystem",
    "open_lake",
    "open_output",
    "open_uri",
    "transport_errors",
]


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


def open_output(uri: str) -> ObjectStorage:
    """Open the root of an output folder.

    Raises:
        ConfigError: the URL's scheme has no conditional create.
    """
    scheme = urlsplit(normal(uri)).scheme
    if scheme != "file" and scheme not in CLOUDS:
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
    scheme = urlsplit(normal(uri)).scheme
    if scheme in CLOUDS:
        return ObjectStorage(uri)
    if scheme == "file" and not Path(normal(uri).removeprefix("file://")).exists():
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
        if fsspec.registry[protocol].__module__.startswith("obstore"):
            fsspec.config.conf[protocol] = {"client_options": client_options()}
