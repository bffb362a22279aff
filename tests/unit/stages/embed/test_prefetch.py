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
    """Gives each key as payload; remembers what was read; fails where told."""

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
            raise ImageError("undecodable", "no picture")
        return Image(np.zeros((1, 1, 3), np.uint8), "PNG")


def ahead_of(reader, ahead=2):
    return Prefetcher(reader, FakePolicy(), threads=2, ahead=ahead)


def wait_for(condition, limit_s=5.0):
    until = time.monotonic() + limit_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


def test_images_come_in_reading_order():
    reading = ahead_of(FakeReader())
    assert [r.encoded.key for r in reading.images(shard("a", 20), None)] == [
        f"a{i}" for i in range(20)
    ]
    reading.close()


def test_what_cannot_be_read_or_decoded_is_a_value_not_an_end():
    reading = ahead_of(FakeReader())
    sources = [Source(k, k, "e", 1) for k in ("a", "bad", "corrupt", "b")]
    found = list(reading.images(Shard.of(sources, 4), None))
    statuses = [r.image.status if isinstance(r.image, ImageError) else "ok" for r in found]
    assert statuses == ["ok", "unreadable", "undecodable", "ok"]
    assert [r.sha256 is None for r in found] == [False, True, False, False]
    reading.close()


def test_memory_is_bounded():
    reader = FakeReader()
    reading = ahead_of(reader, ahead=2)
    images = reading.images(shard("a", 50), None)
    next(images)
    time.sleep(0.1)
    assert len(reader.read_keys) <= 1 + 2 + 1  # taken, queued, in the producer's hand
    images.close()
    reading.close()


def test_the_upcoming_shard_is_read_before_it_is_asked_for():
    reader = FakeReader()
    reading = ahead_of(reader, ahead=4)
    first, second = shard("a", 3), shard("b", 3)
    list(reading.images(first, upcoming=second))
    assert wait_for(lambda: "b0" in reader.read_keys)
    assert [r.encoded.key for r in reading.images(second, None)] == ["b0", "b1", "b2"]
    assert reader.read_keys.count("b0") == 1
    reading.close()


def test_another_shard_than_the_expected_one_may_come():
    reading = ahead_of(FakeReader())
    list(reading.images(shard("a", 3), upcoming=shard("b", 3)))
    assert [r.encoded.key for r in reading.images(shard("c", 2), None)] == ["c0", "c1"]
    reading.close()


@pytest.mark.parametrize("error", [StorageError("503 SlowDown"), KeyError("503")], ids=type)
def test_whatever_ends_the_reading_is_raised_where_the_engine_sees_it(error):
    reading = ahead_of(FakeReader(fails_at="a2", error=error))
    images = reading.images(shard("a", 4), None)
    assert [next(images).encoded.key, next(images).encoded.key] == ["a0", "a1"]
    with pytest.raises(type(error), match="503"):
        next(images)
    reading.close()


def test_abandoned_reading_leaves_no_thread():
    reading = ahead_of(FakeReader(), ahead=1)
    images = reading.images(shard("a", 50), None)
    next(images)
    images.close()
    reading.close()
    assert wait_for(lambda: not [t for t in threading.enumerate() if t.name.startswith("read")])
