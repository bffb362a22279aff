"""What the edits make of the masks of a catalogue: an immutable value, replaced after each edit.

After an edit only the masks that it may concern are resolved again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from samseg.edits.edit import Edit
from samseg.edits.replay import ClassState, replay
from samseg.edits.resolved import ResolvedClasses
from samseg.edits.tables import MEMBERS
from samseg.output import Output
from samseg.review.catalogue import Catalogue
from samseg.stages.edits.resolution import resolved, resolved_after
from samseg.stages.edits.shard_classes import member_keys
from samseg.types import Bool, Float32, Int32, Int64


@dataclass(frozen=True, slots=True, eq=False)
class ClassesNow:
    """The classes of all masks after some edits.

    Attributes:
        catalogue: the masks.
        edits: the log.
        state: its replay.
        found: the classes.
        members: of the classes by example, of all shards.
        class_ids: (n,) int32, the class of each mask.
        decided: (n,) bool, masks whose class a person has decided: they were moved.
        masks: number of masks of each class, noise included.
        unsure: number of masks that are not clearly of their class, and not decided.
        known_rows: rows of the classes that were asked for, kept until an edit changes them.
    """

    catalogue: Catalogue
    edits: tuple[Edit, ...]
    state: ClassState
    found: ResolvedClasses
    members: pa.Table
    class_ids: Int32
    decided: Bool
    masks: Counter[int]
    unsure: Counter[int]
    known_rows: dict[int, Int64] = field(default_factory=dict)

    @property
    def newest(self) -> int:
        """Number of the newest edit, 0 if there is none."""
        return self.state.newest

    def rows_of(self, class_id: int) -> Int64:
        """Return the rows of the masks of a class, (k,) int64, read-only."""
        rows = self.known_rows.get(class_id)
        if rows is None:
            rows = np.flatnonzero(self.class_ids == class_id)
            rows.flags.writeable = False
            self.known_rows[class_id] = rows
        return rows

    def is_unsure(self, rows: Int64) -> Bool:
        """Return which masks are not clearly of their class, and not decided by a person."""
        of_class = self.class_ids[rows] >= 0
        return of_class & ~self.catalogue.clear[rows] & ~self.decided[rows]

    def sureness(self, rows: Int64) -> Float32:
        """Return how sure the class of each mask is: 1 is undecided, inf decided by a person."""
        return np.where(self.decided[rows], np.inf, self.catalogue.ratio[rows]).astype(np.float32)

    def after(
        self, output: Output, edits: Sequence[Edit], found: ResolvedClasses | None = None
    ) -> "ClassesNow":
        """Return the classes after more edits.

        Args:
            output: the output folder.
            edits: the whole log.
            found: the classes of the codebook after some edits, where they are known.
        """
        state = replay(edits)
        if found is None or found.edit != state.newest:
            found = resolved(output, self.catalogue.version)
        if found.edit != state.newest:  # somebody edits meanwhile
            found = resolved_after(output, self.catalogue.version, state)
        members = self.members
        if found.examples != self.found.examples:
            members = _members(output, self.catalogue)
        rows = _concerned(self, found, members)
        class_ids, decided = self.class_ids.copy(), self.decided.copy()
        before = _counts(self, rows)
        class_ids[rows] = _resolved(self.catalogue, found, members, rows)
        changed = {*np.unique([self.class_ids[rows], class_ids[rows]]).tolist()}
        decided[:] = False
        decided[_moved(self.catalogue, found)] = True
        now = replace(
            self,
            edits=tuple(edits),
            state=state,
            found=found,
            members=members,
            class_ids=class_ids,
            decided=decided,
            known_rows={c: of for c, of in self.known_rows.items() if c not in changed},
        )
        after = _counts(now, rows)
        masks, unsure = (
            Counter({c: n for c, n in total.items() if n})
            for total in (
                _changed(self.masks, before[0], after[0]),
                _changed(self.unsure, before[1], after[1]),
            )
        )
        return replace(now, masks=masks, unsure=unsure)


def classes_now(output: Output, catalogue: Catalogue, edits: Sequence[Edit]) -> ClassesNow:
    """Resolve the classes of all masks.

    Args:
        output: the output folder.
        catalogue: its masks.
        edits: the whole log.
    """
    state = replay(edits)
    found = resolved_after(output, catalogue.version, state)
    members = _members(output, catalogue)
    rows = np.arange(len(catalogue))
    decided = np.zeros(len(catalogue), np.bool_)
    decided[_moved(catalogue, found)] = True
    now = ClassesNow(
        catalogue=catalogue,
        edits=tuple(edits),
        state=state,
        found=found,
        members=members,
        class_ids=_resolved(catalogue, found, members, rows),
        decided=decided,
        masks=Counter(),
        unsure=Counter(),
    )
    masks, unsure = _counts(now, rows)
    return replace(now, masks=masks, unsure=unsure)


def _resolved(
    catalogue: Catalogue, found: ResolvedClasses, members: pa.Table, rows: Int64
) -> Int32:
    return found.class_ids(catalogue.assignments(rows), members)


def _moved(catalogue: Catalogue, found: ResolvedClasses) -> Int64:
    return catalogue.rows_of(found.moves["mask_id"].to_pylist())


def _members(output: Output, catalogue: Catalogue) -> pa.Table:
    """Read the members of classes by example, of all shards."""
    keys = member_keys(output, catalogue.version, catalogue.shards)
    parts = [output.read(key, MEMBERS.names) for key in keys]
    return pa.concat_tables([MEMBERS.empty_table(), *parts])


def _concerned(now: ClassesNow, found: ResolvedClasses, members: pa.Table) -> Int64:
    """Return the masks whose class may differ between two states of the log."""
    catalogue, before = now.catalogue, now.found
    raw = _different(before.into, found.into)
    concerned = np.isin(catalogue.raw, raw)
    if catalogue.cells is not None:
        cells = [_pairs(f.cells["cell"], f.cells["class_id"]) for f in (before, found)]
        concerned |= np.isin(catalogue.cells, _different(*cells))
    moves = [_pairs(f.moves["mask_id"], f.moves["class_id"]) for f in (before, found)]
    concerned[catalogue.rows_of(_different(*moves))] = True
    if members is not now.members or raw:
        ids = {*members["mask_id"].to_pylist(), *now.members["mask_id"].to_pylist()}
        concerned[catalogue.rows_of(sorted(ids))] = True
    return np.flatnonzero(concerned)


def _pairs(keys: pa.ChunkedArray, values: pa.ChunkedArray) -> dict[int | str, int]:
    return dict(zip(keys.to_pylist(), values.to_pylist(), strict=True))


def _different(before: Mapping[Any, int], after: Mapping[Any, int]) -> list[Any]:
    """Return the keys whose value differs."""
    return [k for k in before.keys() | after.keys() if before.get(k) != after.get(k)]


def _counts(now: ClassesNow, rows: Int64) -> tuple[Counter[int], Counter[int]]:
    """Count masks, and unsure ones, per class among some rows."""
    unsure = rows[now.is_unsure(rows)]
    return _counter(now.class_ids[rows]), _counter(now.class_ids[unsure])


def _counter(class_ids: Int32) -> Counter[int]:
    values, counts = np.unique(class_ids, return_counts=True)
    return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _changed(total: Counter[int], minus: Counter[int], plus: Counter[int]) -> Counter[int]:
    changed = Counter(total)
    changed.subtract(minus)
    changed.update(plus)
    return changed
