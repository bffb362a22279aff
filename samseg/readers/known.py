"""What earlier plans hold, as Arrow columns."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Known: TypeAlias = Any | Mapping[str, str]
"""The objects of earlier plans: a `pyarrow.Table` of `key` and `etag`, or etag by key."""


_ROWS = 200_000
"""Known objects that are compared at a time."""


class NewAndKnown(NamedTuple):
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
        self._keys, self._etags = known["key"], known["etag"]

    def compare(self, listed: pa.Table) -> NewAndKnown:
        """Return what is new or changed among listed objects.

        The listed keys are hashed, and the known ones pass by, so that memory does not grow with
        these. An object that is listed twice is one object.
        """
        keys = listed["key"].combine_chunks()
        latest = np.full(len(keys), -1)
        for start in range(0, len(self._keys), _ROWS):
            at = pc.index_in(self._keys.slice(start, _ROWS), value_set=keys)
            passed = np.flatnonzero(pc.is_valid(at).to_numpy())
            latest[pc.drop_null(at).to_numpy()] = passed + start
        latest = latest[pc.index_in(keys, value_set=keys).to_numpy()]
        old = pa.array(latest >= 0)
        known = listed.filter(old)
        etags = self._etags.take(pa.array(latest[latest >= 0]))
        changed = known.filter(pc.fill_null(pc.not_equal(known["etag"], etags), True))
        return NewAndKnown(listed.filter(pc.invert(old)), changed, known.num_rows)
