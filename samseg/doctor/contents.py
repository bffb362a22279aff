"""Reads whole objects and tells what is wrong with them: a map on an engine."""

import json
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from samseg import schema
from samseg.clustering.transform import Transform
from samseg.drift import Drift
from samseg.edits.edit import Edit
from samseg.edits.tables import (
    CORRECTIONS,
    MEMBERS,
    RESOLVED_CELLS,
    RESOLVED_CLASSES,
    RESOLVED_MOVES,
    RESOLVED_OUTLINES,
    SPLIT_CELLS,
)
from samseg.engine.protocol import Attempt, Engine, Heartbeat, Slot, Task
from samseg.errors import NotFoundError, StorageError
from samseg.object_names import kind_of
from samseg.output import Output
from samseg.sealed_json import unsealed
from samseg.stages.table_map import results

_COLUMNS = {
    "plan": schema.PLAN,
    "masks": schema.MASKS,
    "images": schema.IMAGES,
    "ledger": schema.LEDGER,
    "class_ledger": schema.CLASS_LEDGER,
    "core.parquet": schema.CORE,
    "classes.parquet": schema.CLASSES,
    "tree.parquet": schema.TREE,
    "cells.parquet": schema.CELLS,
    "members": MEMBERS,
    "split_cells": SPLIT_CELLS,
    "corrections": CORRECTIONS,
}
_RESOLVED = {
    "classes.parquet": RESOLVED_CLASSES,
    "cells.parquet": RESOLVED_CELLS,
    "moves.parquet": RESOLVED_MOVES,
    "outlines.parquet": RESOLVED_OUTLINES,
}
_LATER_COLUMNS = {
    *("coverage", "parent_mask_id", "depth", "note", "seconds", "retry_of", "members"),
    *("start", "stop"),
    *("node", "height", "neighbours", "cell"),
}
"""Columns that parts of earlier versions may lack."""
_OBJECTS_PER_TASK = 32
_READS_AT_A_TIME = 8

Contents = dict[str, tuple[str, int]]
"""Key -> what is wrong with the object (empty if nothing), and its number of rows."""


def problem_of(output: Output, key: str) -> str:
    """Read one object and return what is wrong with it; empty if nothing is.

    Raises:
        StorageError: the store failed.
    """
    return _contents(output, key)[0]


@dataclass(frozen=True, slots=True)
class ContentsSpec:
    """What workers receive: the URI of the output folder."""

    output: str

    def build(self, slot: Slot) -> "ContentsWork":
        """Open the folder in the worker."""
        return ContentsWork(Output(self.output))


@dataclass(frozen=True, slots=True)
class ContentsWork:
    """Reads some objects of a folder."""

    output: Output

    def __call__(
        self, task: Task[Sequence[str]], attempt: Attempt[Sequence[str]]
    ) -> Generator[Heartbeat, None, Contents]:
        """Read the objects of one task."""
        yield Heartbeat(task.id, 0)
        with ThreadPoolExecutor(_READS_AT_A_TIME) as threads:
            found = list(threads.map(lambda key: _contents(self.output, key), task.payload))
        return dict(zip(task.payload, found, strict=True))


def contents(output: Output, keys: Sequence[str], engine: Engine) -> Contents:
    """Read objects on an engine.

    Raises:
        StorageError: the store failed, whatever the engine tried.
        WorkersError: workers cannot start.
    """
    found: Contents = {}
    for of_task in results(engine, ContentsSpec(output.uri).build, _tasks(keys)):
        found |= of_task
    return found


def _tasks(keys: Sequence[str]) -> Iterator[Task[Sequence[str]]]:
    for start in range(0, len(keys), _OBJECTS_PER_TASK):
        yield Task(f"objects {start}", tuple(keys[start : start + _OBJECTS_PER_TASK]))


def _contents(output: Output, key: str) -> tuple[str, int]:
    try:
        payload = output.storage.get(key)
    except NotFoundError:
        return "is missing", 0
    try:
        with output.decoding(key):
            return "", _rows(key, payload)
    except StorageError as e:
        return f"is damaged ({str(e).partition(' is damaged (')[2].partition('); ')[0]})", 0


def _rows(key: str, payload: bytes) -> int:
    """Decode an object and return its number of rows.

    Raises:
        ValueError: or another error of a damaged object.
    """
    kind, name = kind_of(key), key.rpartition("/")[2]
    if name.endswith(".parquet") and kind != "exports":
        table = schema.decode(payload)
        wanted = _COLUMNS.get(name if kind == "codebook" else str(kind))
        if kind == "embeddings":
            wanted = schema.EMBEDDINGS
        if kind == "assignments":
            wanted = schema.ASSIGNMENTS
        if kind == "resolved":
            wanted = _RESOLVED[name]
        needed = set(wanted.names if wanted else ()) - _LATER_COLUMNS
        if lacking := sorted(needed - set(table.column_names)):
            raise ValueError(f"it lacks the columns {', '.join(lacking)}")
        return int(table.num_rows)
    if name.endswith(".npz"):
        Transform.from_bytes(payload)
    elif kind == "edits":
        Edit.from_json(int(name.removesuffix(".json")), unsealed(payload))
    elif kind == "nights" and name == "drift.json":
        Drift.of_record(json.loads(payload))
    elif name.endswith(".json"):
        unsealed(payload) if kind != "exports" else json.loads(payload)
    elif not payload:
        raise ValueError("it is empty")
    return 0
