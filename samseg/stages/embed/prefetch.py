"""Prefetch: reads and decodes images in the background while the model runs.

A producer thread reads the shard's images in order and submits their bytes to decoding threads; a
bounded queue limits memory. When all images of a shard are read, the `upcoming` one is started,
which will probably be requested next. Exact attempts do not prefetch, because the image being
segmented would not be the one being decoded.
"""

import hashlib
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Protocol

from samseg.errors import ImageError
from samseg.readers.decode import FileDecoder
from samseg.types import Image, RawImage, Shard


class ShardReader(Protocol):
    """What reading needs of a reader."""

    def read(self, shard: Shard, max_bytes: int) -> Iterator[RawImage]:
        """Yield the images of a shard in reading order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """One image, or the error that prevented reading or decoding it.

    Attributes:
        raw: the image as read.
        image: the decoded image, or the error.
        sha256: hex digest of the file's bytes, None when they could not be read.
        read_s: seconds spent reading it.
        decode_s: seconds spent decoding it.
    """

    raw: RawImage
    image: Image | ImageError
    sha256: str | None
    read_s: float
    decode_s: float


def decode_one(policy: FileDecoder, raw: RawImage, read_s: float) -> DecodedImage:
    """Decode one image; an `ImageError` is returned as a value, not raised."""
    if not isinstance(raw.payload, bytes):
        error = raw.payload
        if not isinstance(error, ImageError):
            raise error
        return DecodedImage(raw, error, None, read_s, 0.0)
    started = time.perf_counter()
    digest = hashlib.sha256(raw.payload).hexdigest()
    image: Image | ImageError
    try:
        image = policy.decode(raw.payload)
        image = replace(image, note=",".join(filter(None, (image.note, raw.note))))
    except ImageError as e:
        image = e
    return DecodedImage(raw, image, digest, read_s, time.perf_counter() - started)


class Prefetcher:
    """Reads and decodes the images of one shard after another in the background."""

    def __init__(self, reader: ShardReader, policy: FileDecoder, threads: int, ahead: int):
        """Create the decoding threads; nothing is read yet.

        Args:
            reader: reads the images.
            policy: decodes them.
            threads: number of decoding threads.
            ahead: capacity of the queue of decoded images of one shard; one more image waits to
                enter it. At the end of a shard the upcoming one has a queue too, which doubles
                the peak memory.
        """
        self._reader = reader
        self._policy = policy
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._next: _Stream | None = None

    def images(self, shard: Shard, upcoming: Shard | None) -> Iterator[DecodedImage]:
        """Yield the images of `shard` in reading order, then start to read `upcoming`.

        Raises:
            SamsegError: the shard cannot be read; a retry may help if the store failed.
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

    def settle(self) -> None:
        """Stop reading ahead, and wait until nothing is being decoded."""
        stream, self._next = self._next, None
        if stream is not None:
            stream.stop()
            stream.settle()

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
        reader: ShardReader,
        policy: FileDecoder,
        shard: Shard,
        pool: ThreadPoolExecutor,
        ahead: int,
    ):
        self.shard = shard
        self.drained = False
        self._queue: queue.Queue[Future[DecodedImage] | None] = queue.Queue(ahead)
        self._stopped = threading.Event()
        self._started: deque[Future[DecodedImage]] = deque(maxlen=ahead + 2)
        producer = ThreadPoolExecutor(1, thread_name_prefix="read")
        self._produced = producer.submit(self._produce, reader, policy, pool)
        producer.shutdown(wait=False)

    def __iter__(self) -> Iterator["Future[DecodedImage]"]:
        while (future := self._queue.get()) is not None:
            yield future
        self._produced.result()  # raises the producer's error

    def stop(self) -> None:
        """Tell the producer to stop before its next image."""
        self._stopped.set()

    def settle(self) -> None:
        """Wait for the producer, and for what is being decoded, after `stop`."""
        wait([self._produced])
        for future in self._started:
            future.cancel()
        wait(self._started)

    def _produce(self, reader: ShardReader, policy: FileDecoder, pool: ThreadPoolExecutor) -> None:
        try:
            started = time.perf_counter()
            for raw in reader.read(self.shard, policy.max_bytes):
                read_s = time.perf_counter() - started
                future = pool.submit(decode_one, policy, raw, read_s)
                self._started.append(future)
                if not self._put(future):
                    return
                started = time.perf_counter()
        finally:
            self.drained = True
            self._put(None)

    def _put(self, future: "Future[DecodedImage] | None") -> bool:
        """Put `future` into the queue; False if stopped before there was room."""
        while not self._stopped.is_set():
            try:
                self._queue.put(future, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False
