"""Reads shards from where they were planned, whatever the config says of the lake today."""

from collections.abc import Iterator
from itertools import islice

from samseg.errors import StorageError, redact
from samseg.output import Output
from samseg.readers import Reader
from samseg.storage import open_uri, transport_errors
from samseg.types import RawImage, Shard

_PROBES = 3
"""Objects of other shards that are opened to tell a lost image from a lake that is down."""


class PlannedReader:
    """A reader that takes each shard's root from its plan."""

    def __init__(self, reader: Reader):
        """Wrap the reader of the config, which knows how images are packed."""
        self._reader = reader

    def read(self, shard: Shard, max_bytes: int) -> Iterator[RawImage]:
        """Yield the images of a shard in reading order; see the readers' own `read`."""
        source = shard.sources[0]
        root = source.uri.removesuffix(f"/{source.key}")
        return self._reader.model_copy(update={"uri": root}).read(shard, max_bytes)


def confirm_loss(output: Output, shard: Shard) -> None:
    """Check that other objects of the lake can be opened, when no image of a shard can.

    Raises:
        StorageError: none can, so it is the lake that is down rather than the images that are gone.
    """
    others = (s.sources[0].uri for s in output.planned() if s.id != shard.id)
    if not any(_opens(uri) for uri in islice(others, _PROBES)):
        raise StorageError(
            f"no image of shard {shard.id} can be read, nor any other of the lake, for example "
            f"{redact(shard.sources[0].uri)}; is the lake mounted, and are credentials valid?"
        )


def _opens(uri: str) -> bool:
    errors: tuple[type[BaseException], ...] = (*transport_errors(), ValueError, ImportError)
    try:
        with open_uri(uri) as f:
            return bool(f.read(1))
    except errors:
        return False
