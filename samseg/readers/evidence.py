"""Evidence that an error is about one object and not about the whole lake.

The row of an image is final, so an error becomes a row only while the lake answers otherwise. An
unmounted folder, a server that refuses connections or a store that answers 503 to everything is an
outage: the shard is retried, and the night ends without a verdict if that does not help.
"""

from collections.abc import Iterable

from samseg.errors import LakeError, NotFoundError, OutageError, StorageError, one_line
from samseg.storage import Storage, open_lake
from samseg.types import Source

_PROBES = 3


def opened(uri: str) -> Storage:
    """Open a lake that was there when its shards were planned.

    Raises:
        OutageError: it is not there now.
    """
    try:
        return open_lake(uri)
    except LakeError as e:
        raise OutageError(f"{one_line(e)}; it was there when it was planned") from e


def require_evidence(storage: Storage, error: StorageError, others: Iterable[Source]) -> str:
    """Return what shows that `error` is about its object only.

    A missing object is believed if the lake lists any object or another one can be read; any other
    failure only if another one can be read.

    Args:
        storage: the lake.
        error: of the object.
        others: other planned objects; a few of them are opened.

    Raises:
        OutageError: nothing shows it.
    """
    for probe in sorted(others, key=lambda source: source.bytes)[:_PROBES]:
        try:
            with storage.stream(probe.key) as stream:
                stream.read(1)
        except (StorageError, OSError):
            continue
        return "other objects can be read"
    if isinstance(error, NotFoundError):
        try:
            if next(iter(storage.list()), None) is not None:
                return "the lake lists other objects"
        except (StorageError, LakeError) as e:
            raise _outage(error) from e
    raise _outage(error) from error


def _outage(error: StorageError) -> OutageError:
    return OutageError(f"the lake does not answer, or is empty: {one_line(error)}")
