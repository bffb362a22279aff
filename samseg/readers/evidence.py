"""Evidence that an error is about one object and not about the whole lake.

The row of an image is final, so an error becomes a row only while the lake answers otherwise. An
unmounted folder, a server that refuses connections or a store that answers 503 to everything is an
outage: the shard is retried, and the night ends without a verdict if that does not help.
"""

from collections.abc import Iterable
from itertools import islice

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
    failure only if another one can be read: of `others`, or of the first that the lake lists.

    Args:
        storage: the lake.
        error: of the object.
        others: other planned objects; a few of them are opened.

    Raises:
        OutageError: nothing shows it.
    """
    probes = sorted(others, key=lambda source: source.bytes)
    if any(_can_be_read(storage, probe) for probe in probes[:_PROBES]):
        return "other objects can be read"
    suspects = {probe.key for probe in probes}  # images that failed before may all fail again
    try:
        listed = list(islice(storage.list(), len(suspects) + 1 + _PROBES))
    except (StorageError, LakeError, OSError) as e:
        raise _outage(error) from e
    if listed and isinstance(error, NotFoundError):
        return "the lake lists other objects"
    outside = [source for source in listed if source.key not in suspects]
    if any(_can_be_read(storage, probe) for probe in outside[: _PROBES + 1]):
        return "other objects can be read"
    raise _outage(error) from error


def _can_be_read(storage: Storage, probe: Source) -> bool:
    try:
        with storage.stream(probe.key) as stream:
            stream.read(1)
    except (StorageError, OSError):
        return False
    return True


def _outage(error: StorageError) -> OutageError:
    return OutageError(f"the lake does not answer, or is empty: {one_line(error)}")
