"""What the edits make of the classes of one codebook: read where it is stored, else computed.

`classes/v{n}/resolved/e{edit}/` is written when an edit is made, and by each night for its
codebook; `classes.parquet` is its last object. `classes/v{n}/edits/{e}/cells.parquet` holds the
cells on the new side of a split. Readers do not wait for either.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from samseg import schema
from samseg.clustering.codebook import Codebook
from samseg.edits.edit import Split
from samseg.edits.log import read_log
from samseg.edits.replay import ClassState, replay
from samseg.edits.resolved import ResolvedClasses, resolve
from samseg.edits.tables import (
    RESOLVED_CELLS,
    RESOLVED_CLASSES,
    RESOLVED_MOVES,
    RESOLVED_OUTLINES,
    SPLIT_CELLS,
)
from samseg.errors import NotFoundError
from samseg.output import Output
from samseg.stages.cluster.codebook_store import load_codebook
from samseg.stages.edits.splitting import sides_of
from samseg.types import Bool, Int32

_READS_AT_A_TIME = 16
_COLUMNS = ["class_id", "name", "status"]


def resolved(output: Output, version: int | None) -> ResolvedClasses:
    """Return the classes of a codebook after all edits.

    Args:
        output: the output folder.
        version: of the codebook, None if there is none: then there are no classes.

    Raises:
        StorageError: the log, the codebook or what it needs is damaged or cannot be read.
    """
    newest = max(output.edit_numbers(), default=0)
    if version is None:
        return resolve(ClassState(), (), np.zeros(0, np.int32), {})
    key = output.resolved_key(version, newest, "classes")
    if newest and output.storage.exists(key):
        return stored(output, version, newest)
    return resolved_after(output, version, replay(read_log(output) if newest else ()))


def stored(output: Output, version: int, edit: int) -> ResolvedClasses:
    """Return the classes of a codebook after the edits up to one, from their tables.

    Raises:
        StorageError: they are not there or damaged.
    """
    return ResolvedClasses(
        edit,
        _with_members(output.read(output.resolved_key(version, edit, "classes"))),
        output.read(output.resolved_key(version, edit, "cells"), RESOLVED_CELLS.names),
        output.read(output.resolved_key(version, edit, "moves"), RESOLVED_MOVES.names),
        _outlines(output, version, edit),
    )


def resolved_after(
    output: Output,
    version: int,
    state: ClassState,
    write: bool = False,
    sides: Mapping[int, Bool] | None = None,
) -> ResolvedClasses:
    """Return the classes of a codebook after some edits.

    Args:
        output: the output folder.
        version: of the codebook.
        state: the replay of the edits.
        write: store what was computed, for readers that know SQL only; what exists is kept.
        sides: number of the edit of a split -> (k,) bool, where it is known already.
    """
    table = output.read(output.codebook_key(version, "classes.parquet"), _COLUMNS)
    splits = [edit.number for edit in state.applied if isinstance(edit.action, Split)]
    of_cells = _classes_of_cells(output, version) if splits else np.zeros(0, np.int32)
    known = _sides(output, version, state, splits, write, sides or {}) if len(of_cells) else {}
    found = resolve(state, table.to_pylist(), of_cells, known)
    if write and found.edit:
        _write(output, version, found)
    return found


def _write(output: Output, version: int, found: ResolvedClasses) -> None:
    def put(name: str) -> None:
        key = output.resolved_key(version, found.edit, name)
        output.storage.put_new(key, schema.encode(getattr(found, name)))

    others = ("cells", "moves", "outlines")
    with ThreadPoolExecutor(len(others)) as threads:
        list(threads.map(put, others))
    put("classes")  # last: whoever finds it reads the others


def _outlines(output: Output, version: int, edit: int) -> pa.Table:
    try:
        return output.read(output.resolved_key(version, edit, "outlines"), RESOLVED_OUTLINES.names)
    except NotFoundError:  # written before there were edits of outlines
        return RESOLVED_OUTLINES.empty_table()


def _with_members(classes: pa.Table) -> pa.Table:
    """Return classes with the column `members`, which tables of earlier versions lack."""
    if "members" not in classes.column_names:
        classes = classes.append_column("members", pa.nulls(classes.num_rows, pa.int32()))
    return classes.select(RESOLVED_CLASSES.names)


def _classes_of_cells(output: Output, version: int) -> Int32:
    """Return the class of each cell of a codebook's tree, (k,) int32; empty without a tree."""
    key = output.codebook_key(version, "tree.parquet")
    if not output.storage.exists(key):
        return np.zeros(0, np.int32)
    classes = output.read(key, ["class_id"])["class_id"]
    return classes.slice(0, (len(classes) + 1) // 2).to_numpy().astype(np.int32)


def _sides(
    output: Output,
    version: int,
    state: ClassState,
    splits: list[int],
    write: bool,
    known: Mapping[int, Bool],
) -> dict[int, Bool]:
    """Return for each split which cells of the codebook are on its new side, (k,) bool."""

    def stored(number: int) -> Bool | None:
        try:
            return output.read(output.split_key(version, number), ["new"])["new"].to_numpy()
        except NotFoundError:
            return None

    with ThreadPoolExecutor(_READS_AT_A_TIME) as threads:
        read = dict(zip(splits, threads.map(stored, splits), strict=True))
    sides = {number: side for number, side in read.items() if side is not None}
    codebook: Codebook | None = None
    for number in splits:
        action = state.edits[number].action
        if number not in sides and isinstance(action, Split):
            if number in known:
                sides[number] = known[number]
            else:
                codebook = codebook or load_codebook(output, version)
                sides[number] = sides_of(output, codebook, action)
            if write:
                cells = pa.array(np.arange(len(sides[number])), pa.int32())
                table = pa.table([cells, pa.array(sides[number])], schema=SPLIT_CELLS)
                output.storage.put_new(output.split_key(version, number), schema.encode(table))
    return sides
