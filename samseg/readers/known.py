"""What earlier plans hold, as Arrow columns."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

Known: TypeAlias = Any | Mapping[str, str]
"""The objects of earlier plans: a `pyarrow.Table` of `key` and `etag`, or etag by key."""


class Compared(NamedTuple):
    """Listed objects that are new, and known ones of another version; `known` counts these too."""

    new: pa.Table
    changed: pa.Table
    known: int


class KnownObjects:
    """The objects of earlier plans. Of an object in several of them, the last version counts."""

    def __init__(self, known: Known):
        """Use a table, or a mapping."""
        if isinstance(known, Mapping):
            columns = pa.array([*known], pa.string()), pa.array([*known.values()], pa.string())
            known = pa.table([*columns], names=["key", "etag"])
        self._keys, self._etags = known["key"].combine_chunks(), known["etag"].combine_chunks()
        again = pc.count_distinct(self._keys).as_py() < len(self._keys)
        if again:  # planned again since
            last = pa.table({"key": self._keys, "row": pa.array(range(len(self._keys)))})
            rows = last.group_by("key").aggregate([("row", "max")])["row_max"].combine_chunks()
            self._keys, self._etags = self._keys.take(rows), self._etags.take(rows)

    def compare(self, listed: pa.Table) -> Compared:
        """Return what is new or changed among listed objects."""
        at = pc.index_in(listed["key"], value_set=self._keys)
        old = pc.is_valid(at)
        known = listed.filter(old)
        etags = self._etags.take(pc.drop_null(at))
        changed = known.filter(pc.fill_null(pc.not_equal(known["etag"], etags), True))
        return Compared(listed.filter(pc.invert(old)), changed, known.num_rows)
