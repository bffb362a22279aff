import threading
import time

import numpy as np
import pytest

from samseg.errors import ImageError, StorageError
from samseg.stages.embed.prefetch import Prefetcher
from samseg.types import Image, RawImage, Shard, Source


def shard(name, n):
    return Shard.of([Source(f"{name}{i}", f"file:///{name}{i}", "e", 1) for i in range(n)], n)


class FakeReader:
    """Yields each key as payload, records the keys read, and fails at `fails_at`."""

    def __init__(self, fails_at=None, error=None):
        self.read_keys = []
        self.fails_at = fails_at
        self.error = error

    def read(self, shard, max_bytes):
        for source in shard.sources:
            if source.key == self.fails_at:
                raise self.error
            self.read_keys.append(source.key)
            payload = (
                ImageError("unreadable", "gone") if "bad" in source.key else source.key.encode()
            )
            yield RawImage(source.key, source.uri, payload)


class FakePolicy:
    max_bytes = 100

    def decode(self, payload):
        if b"corrupt" in payload:
            raise ImageError("undecodable", "not an image")
        return Image(np.zeros((1, 1, 3), np.uint8), "PNG")


def prefetcher(reader, ahead=2):
    return Prefetcher(reader, FakePolicy(), threads=2, ahead=ahead)


def wait_for(condition, limit_s=5.0):
    until = time.monotonic() + limit_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


def test_images_come_in_reading_order():
    prefetch = prefetcher(FakeReader())
    assert [r.raw.key for r in prefetch.images(shard("a", 20), None)] == [
        f"a{i}" for i in range(20)
    ]
    prefetch.close()


def test_images_that_cannot_be_read_or_decoded_are_values():
    prefetch = prefetcher(FakeReader())
    sources = [Source(k, k, "e", 1) for k in ("a", "bad", "corrupt", "b")]
    found = list(prefetch.images(Shard.of(sources, 4), None))
    statuses = [r.image.status if isinstance(r.image, ImageError) else "ok" for r in found]
    assert statuses == ["ok", "unreadable", "undecodable", "ok"]
    assert [r.sha256 is None for r in found] == [False, True, False, False]
    prefetch.close()


def test_memory_is_bounded():
    reader = FakeReader()
    prefetch = prefetcher(reader, ahead=2)
    images = prefetch.images(shard("a", 50), None)
    next(images)
    time.sleep(0.1)
    assert len(reader.read_keys) <= 1 + 2 + 1  # yielded, queued, held by the producer
    images.close()
    prefetch.close()


def test_the_upcoming_shard_is_read_before_it_is_requested():
    reader = FakeReader()
    prefetch = prefetcher(reader, ahead=4)
    first, second = shard("a", 3), shard("b", 3)
    list(prefetch.images(first, upcoming=second))
    assert wait_for(lambda: "b0" in reader.read_keys)
    assert [r.raw.key for r in prefetch.images(second, None)] == ["b0", "b1", "b2"]
    assert reader.read_keys.count("b0") == 1
    prefetch.close()


def test_a_shard_other_than_the_upcoming_one_may_be_requested():
    prefetch = prefetcher(FakeReader())
    list(prefetch.images(shard("a", 3), upcoming=shard("b", 3)))
    assert [r.raw.key for r in prefetch.images(shard("c", 2), None)] == ["c0", "c1"]
    prefetch.close()


@pytest.mark.parametrize("error", [StorageError("503 SlowDown"), KeyError("503")], ids=type)
def test_an_error_while_reading_is_raised_to_the_caller(error):
    prefetch = prefetcher(FakeReader(fails_at="a2", error=error))
    images = prefetch.images(shard("a", 4), None)
    assert [next(images).raw.key, next(images).raw.key] == ["a0", "a1"]
    with pytest.raises(type(error), match="503"):
        next(images)
    prefetch.close()


def test_closing_early_leaves_no_thread():
    prefetch = prefetcher(FakeReader(), ahead=1)
    images = prefetch.images(shard("a", 50), None)
    next(images)
    images.close()
    prefetch.close()
    assert wait_for(lambda: not [t for t in threading.enumerate() if t.name.startswith("read")])
