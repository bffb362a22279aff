"""The images of a shard for one attempt: prefetched, or one at a time when one of them kills."""

import time
from collections.abc import Iterator

from samseg.engine.protocol import Attempt
from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy
from samseg.stages.embed.prefetch import DecodedImage, Prefetcher, ShardReader, decode_one
from samseg.types import RawImage, Shard


class ShardImages:
    """Reads and decodes the images of one shard after another, in the background if allowed."""

    def __init__(self, reader: ShardReader, policy: DecodePolicy, threads: int):
        """Prepare; nothing is read yet.

        Args:
            reader: reads the images.
            policy: decodes them.
            threads: decoding threads, and images of a shard that wait decoded.
        """
        self._reader = reader
        self._policy = policy
        self._prefetcher = Prefetcher(reader, policy, threads=threads, ahead=threads)

    def read(self, shard: Shard, attempt: Attempt[Shard]) -> Iterator[DecodedImage]:
        """Yield the images of `shard` in reading order, as an attempt asks for them.

        Raises:
            SamsegError: the shard cannot be read.
        """
        if attempt.exact or attempt.skip:
            return self.one_by_one(shard, attempt.skip)
        upcoming = attempt.upcoming.payload if attempt.upcoming else None
        return self._prefetcher.images(shard, upcoming)

    def one_by_one(self, shard: Shard, skip: frozenset[int]) -> Iterator[DecodedImage]:
        """Read and decode one image at a time, without decoding those in `skip`."""
        started = time.perf_counter()
        for index, raw in enumerate(self._reader.read(shard, self._policy.max_bytes)):
            read_s = time.perf_counter() - started
            if index in skip:
                error = ImageError(
                    "crashed", "the worker died or failed on every attempt at this image"
                )
                raw = RawImage(raw.key, raw.uri, error)
            yield decode_one(self._policy, raw, read_s)
            started = time.perf_counter()
