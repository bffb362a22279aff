"""The images of a shard for one attempt: prefetched, or one at a time when one of them kills."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from samseg.engine.protocol import Attempt, Slot
from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy
from samseg.readers.decode.process import IsolatedDecoder
from samseg.stages.embed.prefetch import DecodedImage, Prefetcher, ShardReader, decode_one
from samseg.types import RawImage, Shard

Decoding = tuple[int, Callable[[], DecodedImage]]
"""Position of an image in its shard, and what returns it decoded."""


class ShardImages:
    """Reads and decodes the images of one shard after another, in the background if allowed."""

    def __init__(self, reader: ShardReader, policy: DecodePolicy, slot: Slot):
        """Prepare; nothing is read yet.

        Args:
            reader: reads the images.
            policy: decodes them.
            slot: its threads decode, and as many images of a shard wait decoded.
        """
        self._reader = reader
        limit_s, threads = slot.decode_limit_s, slot.threads
        self._policy = policy if limit_s is None else IsolatedDecoder(policy, limit_s)
        self._prefetcher = Prefetcher(reader, self._policy, threads=threads, ahead=threads)

    def read(self, shard: Shard, attempt: Attempt[Shard]) -> Iterator[Decoding]:
        """Yield the images of `shard`, as an attempt asks for them.

        Raises:
            SamsegError: the shard cannot be read.
        """
        if attempt.exact or attempt.skip:
            self._prefetcher.settle()  # an image of another shard must not kill this attempt
            return self.one_by_one(shard, attempt)
        upcoming = attempt.upcoming.payload if attempt.upcoming else None
        return _in_order(self._prefetcher.images(shard, upcoming))

    def close(self) -> None:
        """Stop reading and decoding."""
        self._prefetcher.close()

    def one_by_one(self, shard: Shard, attempt: Attempt[Shard]) -> Iterator[Decoding]:
        """Read one image at a time; do not decode those in `skip`, and those in `last` last."""
        put_off: list[tuple[int, RawImage, float]] = []
        for index, raw, read_s in self._raw(shard, attempt.skip):
            if index in attempt.last and index not in attempt.skip:
                put_off.append((index, raw, read_s))
            else:
                yield index, partial(decode_one, self._policy, raw, read_s)
        for index, raw, read_s in put_off:
            yield index, partial(decode_one, self._policy, raw, read_s)

    def _raw(self, shard: Shard, skip: frozenset[int]) -> Iterator[tuple[int, RawImage, float]]:
        started = time.perf_counter()
        for index, raw in enumerate(self._reader.read(shard, self._policy.max_bytes)):
            read_s = time.perf_counter() - started
            if index in skip:
                error = ImageError(
                    "crashed", "the worker died or failed on every attempt at this image"
                )
                raw = RawImage(raw.key, raw.uri, error)
            yield index, raw, read_s
            started = time.perf_counter()


def _in_order(images: Iterable[DecodedImage]) -> Iterator[Decoding]:
    for index, decoded in enumerate(images):
        yield index, partial(_identity, decoded)


def _identity(decoded: DecodedImage) -> DecodedImage:
    return decoded
