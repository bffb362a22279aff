"""Writes assignments: the class of each mask of a shard under one codebook. A map over shards."""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from samseg import ledger, schema
from samseg.clustering.codebook import Codebook
from samseg.engine.protocol import Attempt, Engine, Heartbeat, Slot, Task
from samseg.ledger import Sizes
from samseg.stages.cluster.embeddings import Embeddings
from samseg.stages.table_map import each, results, tasks_of
from samseg.types import NOISE, Float32

OnProgress = Callable[[int], None]
Shards = tuple[str, ...]
Row = Mapping[str, Any]


@dataclass(slots=True)
class AssignCounts:
    """What was assigned.

    Attributes:
        masks: rows written, or found there after an interrupted run.
        new: those of shards that had no assignments under the parent codebook.
        noise: masks without a class.
        invalid: masks with no embedding, or one without a direction; part of `noise`.
    """

    masks: int = 0
    new: int = 0
    noise: int = 0
    invalid: int = 0

    def add(self, row: Row, known: Collection[str]) -> None:
        """Add a row of the ledger; `known` are shards whose masks are not new."""
        self.masks += row["masks"]
        self.new += 0 if row["shard_id"] in known else row["masks"]
        self.noise += row["noise"]
        self.invalid += row["invalid"]


@dataclass(frozen=True, slots=True)
class AssignSpec:
    """What workers receive, once each.

    Attributes:
        codebook: the classes.
        embeddings: those of the masks.
        done: size of the assignments of shards that have them; they are only counted.
    """

    codebook: Codebook
    embeddings: Embeddings
    done: Sizes

    def build(self, slot: Slot) -> "AssignSpec":
        """Return the work; the codebook is in memory."""
        return self

    def __call__(
        self, task: Task[Shards], attempt: Attempt[Shards]
    ) -> Generator[Heartbeat, None, list[Row]]:
        """Assign the masks of some shards: rows of the ledger of classes."""
        return (yield from each(task.id, task.payload, attempt, self._assigned))

    def _assigned(self, shard: str) -> Row:
        output = self.embeddings.output
        key = output.assignments_key(self.codebook.version, shard)
        if shard in self.done and len(self.codebook.prototypes):
            table = output.read(key, ["mask_id", "class_id", "distance", "margin"])
            return ledger.class_row(shard, self.done[shard], table)
        table, invalid = assignments(self.codebook, self.embeddings.rows(shard))
        payload = schema.encode(table)
        output.storage.put_new(key, payload)
        return ledger.class_row(shard, len(payload), table) | {"invalid": invalid}


def assign(
    codebook: Codebook,
    embeddings: Embeddings,
    shards: Sequence[str],
    engine: Engine,
    on_progress: OnProgress,
    known: Iterable[str] = (),
    rows: Iterable[Row] = (),
) -> AssignCounts:
    """Write the assignments of shards that lack them, and the ledger of all.

    Args:
        codebook: the classes.
        embeddings: those of the masks.
        shards: ids of the shards.
        engine: runs the map.
        on_progress: called with the number of masks so far.
        known: shards that had assignments under the parent codebook.
        rows: further rows for the ledger, of shards that have assignments.
    """
    codebook.check(embeddings.name, embeddings.recipe)
    output, version = embeddings.output, codebook.version
    counts, known, pending = AssignCounts(), set(known), list(rows)
    sizes = output.sizes("assignments", version)
    done = {shard: sizes[shard] for shard in shards if shard in sizes}
    columns = ("masks", "noise", "invalid")
    counted = ledger.read(output, done, version, columns=columns).to_pylist() if done else []
    for row in counted:
        counts.add(row, known)
    left = sorted(set(shards) - {row["shard_id"] for row in counted})
    spec = AssignSpec(codebook, embeddings, done)
    for found in results(engine, spec.build, tasks_of(left)):
        for row in found:
            counts.add(row, known)
        pending += found
        if len(pending) >= ledger.ROWS:
            ledger.append(output, pending, version)
            pending = []
        on_progress(counts.masks)
    ledger.append(output, pending, version)
    return counts


def assignments(codebook: Codebook, part: pa.Table) -> tuple[pa.Table, int]:
    """Return the assignments of one part of embeddings, row for row, and how many are invalid."""
    present = part["embedding"].is_valid().to_numpy()
    found = codebook.assign(schema.matrix_of(part["embedding"].filter(pa.array(present))))
    class_ids = np.full(part.num_rows, NOISE, np.int32)
    class_ids[present] = found.class_ids
    columns = {
        "mask_id": part["mask_id"],
        "class_id": pa.array(class_ids),
        "distance": _scatter(found.distances, present),
        "margin": _scatter(found.margins, present),
        "codebook": pa.array(np.full(part.num_rows, codebook.version, np.int32)),
    }
    if found.cells is not None:
        cells = np.full(part.num_rows, NOISE, np.int32)
        cells[present] = found.cells
        columns["cell"] = pa.array(cells, mask=cells == NOISE)
    fields = [schema.ASSIGNMENTS.field(name) for name in columns]
    table = pa.table(columns, schema=pa.schema(fields, metadata=schema.ASSIGNMENTS.metadata))
    return table, part.num_rows - int(found.valid.sum())


def _scatter(values: Float32, mask: Any) -> pa.Array:
    """Place values at the rows where `mask` is True; null elsewhere and where NaN."""
    full = np.full(len(mask), np.nan, np.float32)
    full[mask] = values
    return pa.array(full, from_pandas=True)
