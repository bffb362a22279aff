"""Writes assignments: the class of each mask of a shard under one codebook. A map over shards."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import schema
from samseg.clustering.codebook import Codebook
from samseg.engine.protocol import Attempt, Engine, Heartbeat, Slot, Task
from samseg.stages.cluster.embeddings import Embeddings
from samseg.stages.table_map import each, results, tasks_of
from samseg.types import NOISE, Float32

OnProgress = Callable[[int], None]
Shards = tuple[str, ...]


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


@dataclass(frozen=True, slots=True)
class _Assigned:
    """The counts of one shard, as in `AssignCounts`."""

    shard: str
    masks: int
    noise: int
    invalid: int


@dataclass(frozen=True, slots=True)
class AssignSpec:
    """What workers receive, once each.

    Attributes:
        codebook: the classes.
        embeddings: those of the masks.
        done: shards that have their assignments; they are only counted.
    """

    codebook: Codebook
    embeddings: Embeddings
    done: frozenset[str] = frozenset()

    def build(self, slot: Slot) -> "AssignSpec":
        """Return the work; the codebook is in memory."""
        return self

    def __call__(
        self, task: Task[Shards], attempt: Attempt[Shards]
    ) -> Generator[Heartbeat, None, list[_Assigned]]:
        """Assign the masks of some shards."""
        return (yield from each(task.id, task.payload, attempt, self._assigned))

    def _assigned(self, shard: str) -> _Assigned:
        output = self.embeddings.output
        key = output.assignments_key(self.codebook.version, shard)
        if shard in self.done and len(self.codebook.prototypes):
            table = output.read(key, ["class_id", "distance"])
            invalid = table["distance"].null_count
        else:
            table, invalid = assignments(self.codebook, self.embeddings.rows(shard))
            output.storage.put_new(key, schema.encode(table))
        noise = pc.sum(pc.equal(table["class_id"], NOISE)).as_py() or 0
        return _Assigned(shard, table.num_rows, noise, invalid)


def assign(
    codebook: Codebook,
    embeddings: Embeddings,
    shards: Sequence[str],
    engine: Engine,
    on_progress: OnProgress,
    known: Iterable[str] = (),
) -> AssignCounts:
    """Write the assignments of shards that lack them, and count those of all.

    Args:
        codebook: the classes.
        embeddings: those of the masks.
        shards: ids of the shards.
        engine: runs the map.
        on_progress: called with the number of masks so far.
        known: shards that had assignments under the parent codebook.
    """
    codebook.check(embeddings.name, embeddings.recipe)
    counts, known = AssignCounts(), set(known)
    done = frozenset(embeddings.output.assigned(codebook.version))
    spec = AssignSpec(codebook, embeddings, done & set(shards))
    for found in results(engine, spec.build, tasks_of(shards)):
        for part in found:
            counts.masks += part.masks
            counts.new += 0 if part.shard in known else part.masks
            counts.noise += part.noise
            counts.invalid += part.invalid
        on_progress(counts.masks)
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
