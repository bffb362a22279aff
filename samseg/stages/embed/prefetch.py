"""Reads and decodes ahead of the model, so that neither waits for the other.

A producer thread walks the shard's images in order and hands their bytes to decoding threads; a
bounded queue keeps memory flat. When the producer reaches the end of its shard it starts on the
`upcoming` one, which will probably be asked for next. Not for exact attempts: with reading ahead,
the image being worked on is not the one being decoded.
"""

import hashlib
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from samseg.errors import ImageError
from samseg.readers import Reader
from samseg.readers.decode import DecodePolicy
from samseg.types import Image, RawImage, Shard


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """One image, decoded or not decodable.

    Attributes:
        encoded: the image as its reader found it.
        image: the picture, or why there is none.
        sha256: hex digest of the file's bytes, None when they could not be read.
        read_s: seconds spent reading it.
        decode_s: seconds spent decoding it.
    """

    encoded: RawImage
    image: Image | ImageError
    sha256: str | None
    read_s: float
    decode_s: float


def decode_one(policy: DecodePolicy, encoded: RawImage, read_s: float) -> DecodedImage:
    """Decode one image; what cannot be decoded becomes an `ImageError` value."""
    if not isinstance(encoded.payload, bytes):
        error = encoded.payload
        if not isinstance(error, ImageError):
            raise error
        return DecodedImage(encoded, error, None, read_s, 0.0)
    began = time.perf_counter()
    digest = hashlib.sha256(encoded.payload).hexdigest()
    image: Image | ImageError
    try:
        image = policy.decode(encoded.payload)
    except ImageError as e:
        image = e
    return DecodedImage(encoded, image, digest, read_s, time.perf_counter() - began)


class Prefetcher:
    """The images of one shard after another, read and decoded in the background."""

    def __init__(self, reader: Reader, policy: DecodePolicy, threads: int, ahead: int):
        """Prepare; nothing is read yet.

        Args:
            reader: where images come from.
            policy: how they are decoded.
            threads: decoding threads.
            ahead: images of one shard that may wait, decoded; one more waits to join them. At the
                end of a shard as many of the upcoming one wait too, so peak memory counts twice.
        """
        self._reader = reader
        self._policy = policy
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._next: _Stream | None = None

    def images(self, shard: Shard, upcoming: Shard | None) -> Iterator[DecodedImage]:
        """Yield the images of `shard` in reading order, then start on `upcoming`.

        Raises:
            SamsegError: the shard cannot be read (a store that fails; retrying can help).
        """
        stream, self._next = self._next, None
        if stream is None or stream.shard.id != shard.id:
            if stream is not None:
                stream.stop()
            stream = self._start(shard)
        try:
            for future in stream:
                if upcoming is not None and self._next is None and stream.drained:
                    self._next = self._start(upcoming)
                yield future.result()
        finally:
            stream.stop()

    def close(self) -> None:
        """Stop reading and decoding."""
        if self._next is not None:
            self._next.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, shard: Shard) -> "_Stream":
        return _Stream(self._reader, self._policy, shard, self._pool, self._ahead)


class _Stream:
    """One producer thread over one shard."""

    def __init__(
        self,
        reader: Reader,
        policy: DecodePolicy,
        shard: Shard,
        pool: ThreadPoolExecutor,
        ahead: int,
    ):
        self.shard = shard
        self.drained = False
        self._queue: queue.Queue[Future[DecodedImage] | None] = queue.Queue(ahead)
        self._stopped = threading.Event()
        producer = ThreadPoolExecutor(1, thread_name_prefix="read")
        self._produced = producer.submit(self._produce, reader, policy, pool)
        producer.shutdown(wait=False)

    def __iter__(self) -> Iterator["Future[DecodedImage]"]:
        while (found := self._queue.get()) is not None:
            yield found
        self._produced.result()  # raises what ended the reading early

    def stop(self) -> None:
        """Let the producer end at its next step."""
        self._stopped.set()

    def _produce(self, reader: Reader, policy: DecodePolicy, pool: ThreadPoolExecutor) -> None:
        try:
            began = time.perf_counter()
            for encoded in reader.read(self.shard, policy.max_bytes):
                read_s = time.perf_counter() - began
                if not self._put(pool.submit(decode_one, policy, encoded, read_s)):
                    return
                began = time.perf_counter()
        finally:
            self.drained = True
            self._put(None)

    def _put(self, found: "Future[DecodedImage] | None") -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(found, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False
