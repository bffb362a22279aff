"""Listings as Arrow: one record batch holds many objects."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from samseg.types import Source

LISTED = pa.schema([("key", pa.string()), ("etag", pa.string()), ("bytes", pa.int64())])
"""Columns of a batch; as in `samseg.types.Source`."""

Skipped = Callable[[str, str], None]
"""Called with the key of what a listing leaves out (a folder ends with `/`), and the reason."""

_ROWS = 10_000


def ignore(key: str, reason: str) -> None:
    """Do nothing: the caller does not need what was left out."""


def batched(sources: Iterable[Source]) -> Iterator[pa.RecordBatch]:
    """Yield objects as record batches."""
    left = iter(sources)
    while some := [*islice(left, _ROWS)]:
        yield batch_of(some)


def batch_of(sources: Sequence[Source]) -> pa.RecordBatch:
    """Return objects as one record batch."""
    columns = (
        pa.array([s.key for s in sources], pa.string()),
        pa.array([s.etag for s in sources], pa.string()),
        pa.array([s.bytes for s in sources], pa.int64()),
    )
    return pa.RecordBatch.from_arrays([*columns], schema=LISTED)


def page_of(page: pa.RecordBatch) -> pa.RecordBatch:
    """Return a page of obstore's listing as a batch of `LISTED`."""
    etags = page["e_tag"]
    if etags.null_count:
        times = pa.array([str(t.as_py()) for t in page["last_modified"]], pa.string())
        etags = pc.coalesce(etags, times)
    columns = [page["path"], pc.utf8_trim(etags, '"'), page["size"].cast(pa.int64())]
    return pa.RecordBatch.from_arrays(columns, schema=LISTED)
