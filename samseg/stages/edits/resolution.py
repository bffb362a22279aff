"""What the edits make of the classes of one codebook: read where it is stored, else computed.

`classes/v{n}/resolved/e{edit}/` is written when an edit is made, and by each night for its
codebook; `classes.parquet` is its last object. `classes/v{n}/edits/{e}/cells.parquet` holds the
cells on the new side of a split. Readers do not wait for either.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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


def resolved_after(output: Output, version: int, state: ClassState) -> ResolvedClasses:
    """Return the classes of a codebook after some edits."""
    return Resolver(output, version).after(state)


class Resolver:
    """Resolves edits over one codebook, and keeps what it has read: codebooks do not change.

    Attributes:
        version: of the codebook.
        sides: number of the edit of a split -> (k,) bool, the cells of the codebook on its new
            side. Whoever makes a split adds them.
    """

    def __init__(self, output: Output, version: int):
        """Read nothing yet."""
        self.version = version
        self.sides: dict[int, Bool] = {}
        self._output = output
        self._stored: set[int] = set()
        self._classes: list[dict[str, Any]] | None = None
        self._of_cells: Int32 | None = None

    def after(self, state: ClassState, write: bool = False) -> ResolvedClasses:
        """Return the classes of the codebook after some edits.

        Args:
            state: the replay of the edits.
            write: store what was computed, for readers that know SQL only; what exists is kept.
        """
        if self._classes is None:
            key = self._output.codebook_key(self.version, "classes.parquet")
            self._classes = self._output.read(key, _COLUMNS).to_pylist()
        splits = {e.number: e.action for e in state.applied if isinstance(e.action, Split)}
        of_cells = self._classes_of_cells() if splits else np.zeros(0, np.int32)
        if len(of_cells):
            self._find_sides(splits)
        found = resolve(state, self._classes, of_cells, self.sides if len(of_cells) else {})
        if write and found.edit:
            self._store_sides(splits if len(of_cells) else ())
            _write(self._output, self.version, found)
        return found

    def _classes_of_cells(self) -> Int32:
        """Return the class of each cell of the tree, (k,) int32; empty without a tree."""
        if self._of_cells is None:
            key = self._output.codebook_key(self.version, "tree.parquet")
            self._of_cells = np.zeros(0, np.int32)
            if self._output.storage.exists(key):
                classes = self._output.read(key, ["class_id"])["class_id"]
                leaves = classes.slice(0, (len(classes) + 1) // 2)
                self._of_cells = leaves.to_numpy().astype(np.int32)
        return self._of_cells

    def _find_sides(self, splits: Mapping[int, Split]) -> None:
        """Read the sides of all splits that are not known yet, or compute them."""

        def stored(number: int) -> Bool | None:
            try:
                key = self._output.split_key(self.version, number)
                return self._output.read(key, ["new"])["new"].to_numpy()
            except NotFoundError:
                return None

        unknown = [number for number in splits if number not in self.sides]
        if not unknown:
            return
        with ThreadPoolExecutor(_READS_AT_A_TIME) as threads:
            read = dict(zip(unknown, threads.map(stored, unknown), strict=True))
        codebook: Codebook | None = None
        for number, side in read.items():
            if side is None:
                codebook = codebook or load_codebook(self._output, self.version)
                side = sides_of(self._output, codebook, splits[number])
            else:
                self._stored.add(number)
            self.sides[number] = side

    def _store_sides(self, splits: Iterable[int]) -> None:
        for number in splits:
            if number not in self._stored:
                side = self.sides[number]
                cells = pa.array(np.arange(len(side)), pa.int32())
                table = pa.table([cells, pa.array(side)], schema=SPLIT_CELLS)
                key = self._output.split_key(self.version, number)
                self._output.storage.put_new(key, schema.encode(table))
                self._stored.add(number)


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
