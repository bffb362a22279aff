"""A reader that leaves out what earlier shards of the same tar have labelled, and the forgotten."""

from collections.abc import Iterator

from samseg.output import Output
from samseg.readers import Reader
from samseg.types import LABELLED, RawImage, Shard


class RemainingReader:
    """Reads whole shards; of a tar that is read again, only what has no masks yet.

    Images that `samseg forget` has erased are not read by any shard.
    """

    def __init__(self, reader: Reader, output: Output):
        """Wrap a reader.

        Args:
            reader: reads the images.
            output: has the rows of earlier shards.
        """
        self._reader, self._output = reader, output

    def read(self, shard: Shard, max_bytes: int) -> Iterator[RawImage]:
        """Yield the images of a shard in reading order; see the readers' own `read`."""
        labelled, forgotten = self._labelled(shard), self._output.forgotten()
        for raw in self._reader.read(shard, max_bytes):
            if raw.key not in labelled and raw.image_id not in forgotten:
                yield raw

    def _labelled(self, shard: Shard) -> set[str]:
        found: set[str] = set()
        for earlier in {*shard.earlier} & self._output.committed() if shard.earlier else ():
            part = self._output.read(self._output.images_key(earlier), ["key", "status"])
            for key, status in zip(*(c.to_pylist() for c in part.columns), strict=True):
                if status in LABELLED:
                    found.add(key)
        return found
