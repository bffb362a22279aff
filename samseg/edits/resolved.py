"""What the edits make of the classes of one codebook: the one place where both meet.

Whoever reads a class reads it through `ResolvedClasses`. Its tables lie in the folder beside the
codebook (`classes/v{n}/resolved/e{edit}/`), so that SQL alone has the same answer.

The class of a mask is, the first that applies: what it was moved to; the class by example that it
is a member of, the nearest one; what became of its cell, where its class was split; what its class
was merged into; the class of the codebook.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import schema
from samseg.edits.edit import CREATED, Merge, Redraw, Split
from samseg.edits.replay import ClassState
from samseg.edits.tables import (
    RESOLVED_CELLS,
    RESOLVED_CLASSES,
    RESOLVED_MOVES,
    RESOLVED_OUTLINES,
)
from samseg.types import IGNORED, NOISE, Bool, Int32

ACTIVE, RETIRED = "active", "retired"
CODEBOOK, EXAMPLE = "codebook", "example"


@dataclass(frozen=True)
class ResolvedClasses:
    """The classes of one codebook after all edits.

    Attributes:
        edit: number of the newest edit, 0 if there is none.
        classes: of `RESOLVED_CLASSES`, ascending by id.
        cells: of `RESOLVED_CELLS`: the cells of classes that were split.
        moves: of `RESOLVED_MOVES`: masks that were moved.
        outlines: of `RESOLVED_OUTLINES`: masks whose outline a person drew.
    """

    edit: int
    classes: pa.Table
    cells: pa.Table
    moves: pa.Table
    outlines: pa.Table

    @cached_property
    def rows(self) -> dict[int, dict[str, Any]]:
        """The rows of `classes` by class id."""
        return {row["class_id"]: row for row in self.classes.to_pylist()}

    @cached_property
    def into(self) -> dict[int, int]:
        """Class -> the class that its masks have now."""
        return {class_id: row["into"] for class_id, row in self.rows.items()}

    @cached_property
    def parts(self) -> dict[int, tuple[int, ...]]:
        """Class -> the others that were merged into it."""
        found: dict[int, tuple[int, ...]] = {}
        for class_id, into in self.into.items():
            if into != class_id:
                found[into] = (*found.get(into, ()), class_id)
        return found

    @cached_property
    def current(self) -> tuple[int, ...]:
        """The classes that masks can have now, ascending."""
        used = {row["into"] for row in self.rows.values() if row["status"] != RETIRED}
        used |= {*self.cells["class_id"].to_pylist(), *self.moves["class_id"].to_pylist()}
        return tuple(sorted(used - {NOISE, IGNORED}))

    def classes_of_cells(self, of_cells: Int32) -> Int32:
        """Return the class of each cell of the codebook's tree, (k,) int32.

        Args:
            of_cells: (k,) int32, its class as the codebook has it.
        """
        now = np.array([self.into.get(c, c) for c in of_cells.tolist()], np.int32)
        if len(now):
            now[self.cells["cell"].to_numpy()] = self.cells["class_id"].to_numpy()
        return now

    @cached_property
    def divided(self) -> bool:
        """Whether masks of one class of the codebook are of different classes now."""
        return bool(self.cells.num_rows or self.moves.num_rows or self.examples)

    def same_classes(self, other: "ResolvedClasses") -> bool:
        """Whether every mask has the same class in another state of the same codebook."""
        return (
            self.into == other.into
            and self.class_of_members == other.class_of_members
            and self.cells.equals(other.cells)
            and self.moves.equals(other.moves)
        )

    @cached_property
    def ignored(self) -> frozenset[int]:
        """The current classes that are left out of exports."""
        return frozenset(c for c in self.current if self.rows.get(c, {}).get("ignored"))

    @cached_property
    def examples(self) -> tuple[int, ...]:
        """Numbers of the edits whose parts hold the members of classes by example."""
        return tuple(member - CREATED for member in self.class_of_members)

    @cached_property
    def class_of_members(self) -> dict[int, int]:
        """`class_id` in members -> the class that these masks have now."""
        return {
            class_id if row["members"] is None else row["members"]: row["into"]
            for class_id, row in self.rows.items()
            if row["origin"] == EXAMPLE
        }

    @cached_property
    def drawn(self) -> dict[str, int]:
        """Mask whose outline a person drew -> number of the table that has it."""
        columns = (self.outlines[name].to_pylist() for name in ("mask_id", "correction"))
        return dict(zip(*columns, strict=True))

    def name(self, class_id: int) -> str:
        """Return what a class is called: a person's name, the codebook's, or `class {id}`."""
        if class_id == NOISE:
            return "noise"
        if class_id == IGNORED:
            return "ignored"
        return self.rows.get(class_id, {}).get("name") or f"class {class_id}"

    def class_ids(self, assignments: pa.Table, members: pa.Table | None = None) -> Int32:
        """Return the class of each mask, (n,) int32, `NOISE` or `IGNORED` for none.

        Args:
            assignments: `mask_id`, `class_id` and, where there is a tree, `cell`.
            members: of `MEMBERS`, in the same shard; classes that are gone do not count.
        """
        raw = assignments["class_id"].to_numpy().astype(np.int32)
        found, position = np.unique(raw, return_inverse=True)
        now = np.array([self.into.get(int(c), int(c)) for c in found], np.int32)[position]
        if self.cells.num_rows and "cell" in assignments.column_names:
            _replace(now, assignments["cell"], self.cells["cell"], self.cells["class_id"])
        if members is not None and members.num_rows:
            nearest = nearest_members(members, self.class_of_members)
            _replace(now, assignments["mask_id"], nearest["mask_id"], nearest["class_id"])
        if self.moves.num_rows:
            moves = self.moves
            _replace(now, assignments["mask_id"], moves["mask_id"], moves["class_id"])
        return now


def _replace(now: Int32, keys: Any, changed: Any, values: Any) -> None:
    """Set the values of the rows whose key is among the changed ones."""
    at = pc.index_in(keys, value_set=changed.combine_chunks())
    rows = at.is_valid().to_numpy(zero_copy_only=False) if at.null_count else np.ones(len(at), bool)
    position = at.fill_null(0).to_numpy()
    now[rows] = values.to_numpy()[position[rows]]


def nearest_members(members: pa.Table, class_of_members: Mapping[int, int]) -> pa.Table:
    """Return each member once, with what became of the nearest class by example that has it."""
    alive = pc.is_in(members["class_id"], value_set=pa.array(list(class_of_members), pa.int32()))
    table = members.filter(alive).sort_by([("distance", "ascending"), ("class_id", "ascending")])
    ids = table["mask_id"].to_numpy(zero_copy_only=False).astype(str)
    _, first = np.unique(ids, return_index=True)
    table = table.take(pa.array(first))
    now = [class_of_members[c] for c in table["class_id"].to_pylist()]
    return pa.table([table["mask_id"], pa.array(now, pa.int32())], ["mask_id", "class_id"])


def resolve(
    state: ClassState,
    classes: Iterable[Mapping[str, Any]],
    of_cells: Int32,
    sides: Mapping[int, Bool],
) -> ResolvedClasses:
    """Apply edits to the classes of a codebook.

    Args:
        state: the replay of the edits.
        classes: `class_id`, `name` and `status` of every class of the codebook.
        of_cells: (k,) int32, the class of each cell of its tree; empty without a tree.
        sides: number of the edit of each split -> (k,) bool, the cells on the new side.
    """
    rows = [_row(state, c["class_id"], c["name"] or "", c["status"]) for c in classes]
    rows += [_row(state, created, "", ACTIVE) for created in state.created]
    rows.sort(key=lambda row: row["class_id"])
    now = _cells_after(state, of_cells, sides)
    unsplit = np.array([state.final(int(c)) for c in of_cells], np.int32)
    changed = np.flatnonzero(now != unsplit)
    cells = [pa.array(changed, pa.int32()), pa.array(now[changed], pa.int32())]
    known = {row["class_id"] for row in rows}
    moves = {m: state.final(c) for m, c in sorted(state.moved.items())}
    moves = {m: c for m, c in moves.items() if c in known or c in (NOISE, IGNORED)}
    moved = [pa.array(list(moves), pa.string()), pa.array(list(moves.values()), pa.int32())]
    return ResolvedClasses(
        state.newest,
        schema.table_of(rows, RESOLVED_CLASSES),
        pa.table(cells, schema=RESOLVED_CELLS),
        pa.table(moved, schema=RESOLVED_MOVES),
        schema.table_of(_outlines(state), RESOLVED_OUTLINES),
    )


def _row(state: ClassState, class_id: int, name: str, status: str) -> dict[str, Any]:
    chosen = state.chosen.get(class_id)
    return {
        "class_id": class_id,
        "name": state.names.get(class_id, name),
        "status": status,
        "origin": state.created[class_id].action.action if class_id in state.created else CODEBOOK,
        "ignored": class_id in state.ignored,
        "into": state.final(class_id),
        "edit": state.last.get(class_id),
        "members": CREATED + chosen[-1].number if chosen else None,
    }


def _outlines(state: ClassState) -> list[dict[str, Any]]:
    return [
        {"mask_id": mask, "correction": edit.action.correction, "edit": edit.number}
        for mask, edit in sorted(state.outlined.items())
        if isinstance(edit.action, Redraw)
    ]


def _cells_after(state: ClassState, of_cells: Int32, sides: Mapping[int, Bool]) -> Int32:
    """Return the class of each cell after all merges and splits, in their order."""
    now = of_cells.astype(np.int32, copy=True)
    for edit in state.applied:
        action = edit.action
        if isinstance(action, Merge):
            now[np.isin(now, action.class_ids)] = action.into
        elif edit.created is not None and isinstance(action, Split) and edit.number in sides:
            now[(now == action.class_id) & sides[edit.number]] = edit.created
    return now
