"""What is new or changed in a listing, against a plain dictionary."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samseg.readers import known as module
from samseg.readers.known import KnownObjects
from samseg.storage import LISTED

PAIRS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("123")), max_size=12)


@pytest.fixture(autouse=True, scope="module")
def small_steps():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_ROWS", 3)
        yield


@given(PAIRS, PAIRS)
def test_the_last_planned_version_of_each_object_counts(planned, listed):
    keys, etags = zip(*planned, strict=True) if planned else ((), ())
    table = pa.table({"key": pa.array(keys, pa.string()), "etag": pa.array(etags, pa.string())})
    columns = [*zip(*listed, strict=True)] if listed else [(), ()]
    columns = [pa.array(column, pa.string()) for column in columns]
    rows = pa.table([*columns, pa.array([1] * len(listed), pa.int64())], schema=LISTED)
    latest = dict(planned)
    found = KnownObjects(table).compare(rows)
    assert found.new["key"].to_pylist() == [k for k, _ in listed if k not in latest]
    changed = [(k, e) for k, e in listed if k in latest and latest[k] != e]
    columns = found.changed["key"].to_pylist(), found.changed["etag"].to_pylist()
    assert [*zip(*columns, strict=True)] == changed
    assert found.known == sum(k in latest for k, _ in listed)
