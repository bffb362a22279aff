"""The listing of a lake against what is planned already."""

import tracemalloc

import pyarrow as pa

from samseg.readers.planned import KeyFilter, survey
from samseg.storage import LISTED

KNOWN = 200_000


class Recorded:
    """A recorded listing."""

    uri = "s3://bucket/photos"

    def __init__(self, listed):
        self._listed = listed

    def batches(self, skipped):
        return self._listed.to_batches(1000)

    def uri_of(self, key):
        return f"{self.uri}/{key}"


def test_known_objects_are_never_python_objects():
    keys = [f"2024/{i:09}.jpg" for i in range(KNOWN)]
    columns = keys, [f"{i:032x}" for i in range(KNOWN)], pa.array([9] * KNOWN, pa.int64())
    listed = pa.table([*columns], schema=LISTED)
    known = listed.select(["key", "etag"]).slice(1)
    tracemalloc.start()
    arrow = pa.default_memory_pool().bytes_allocated()
    try:
        found = survey(Recorded(listed), KeyFilter(("*.jpg",)), known, "images")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [s.key for s in found] == keys[:1] and found.known == KNOWN - 1
    assert peak < 20 << 20  # 500 bytes for each would be 100 MB
    assert pa.default_memory_pool().bytes_allocated() - arrow < 10 << 20
