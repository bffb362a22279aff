"""Writes assignments: the class of each mask of a shard under one codebook. A map over shards."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import ledger, schema
from samseg.class_counts import class_row
from samseg.clustering.codebook import Codebook
from samseg.engine.protocol import Engine
from samseg.ledger import Sizes
from samseg.stages.cluster.embeddings import Embeddings
from samseg.stages.table_map import PerItem, results, tasks_of
from samseg.types import NOISE, Float32

OnProgress = Callable[[int], None]
Shards = tuple[str, ...]

_LEDGER_BYTES = 16_000_000
"""Rows of the ledger that are held before they are written."""


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

    def add(self, rows: pa.Table, known: pa.Array) -> None:
        """Add rows of the ledger; `known` are shards whose masks are not new."""
        new = rows["masks"].filter(pc.invert(pc.is_in(rows["shard_id"], value_set=known)))
        self.masks += pc.sum(rows["masks"]).as_py() or 0
        self.new += pc.sum(new).as_py() or 0
        self.noise += pc.sum(rows["noise"]).as_py() or 0
        self.invalid += pc.sum(rows["invalid"]).as_py() or 0


@dataclass(frozen=True, slots=True)
class AssignSpec(PerItem[str, pa.Table]):
    """What workers receive, once each.

    Attributes:
        codebook: the classes.
        embeddings: those of the masks.
        done: size of the assignments of shards that have them; they are only counted.
    """

    codebook: Codebook
    embeddings: Embeddings
    done: Sizes

    def of_item(self, item: str) -> pa.Table:
        """Assign the masks of one shard: a row of the ledger of classes."""
        return ledger.table_of([self._assigned(item)], self.codebook.version)

    def _assigned(self, shard: str) -> dict[str, Any]:
        output = self.embeddings.output
        key = output.assignments_key(self.codebook.version, shard)
        if shard in self.done and len(self.codebook.prototypes):
            table = output.read(key, ["mask_id", "class_id", "distance", "margin"])
            return class_row(shard, self.done[shard], table)
        table, invalid = assignments(self.codebook, self.embeddings.rows(shard))
        payload = schema.encode(table)
        output.storage.put_new(key, payload)
        return class_row(shard, len(payload), table) | {"invalid": invalid}


def assign(
    codebook: Codebook,
    embeddings: Embeddings,
    shards: Sequence[str],
    engine: Engine,
    on_progress: OnProgress,
    known: Iterable[str] = (),
    rows: pa.Table | None = None,
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
    counts, earlier = AssignCounts(), pa.array(sorted(known), pa.string())
    pending = schema.CLASS_LEDGER.empty_table() if rows is None else rows
    sizes = output.sizes("assignments", version)
    done = {shard: sizes[shard] for shard in shards if shard in sizes}
    columns = ("masks", "noise", "invalid")
    counted = ledger.read(output, done, version, columns=columns)
    counts.add(counted, earlier)
    left = sorted(set(shards) - set(counted["shard_id"].to_pylist()))
    spec = AssignSpec(codebook, embeddings, done)
    for found in results(engine, spec.build, tasks_of(left)):
        new = pa.concat_tables(found)
        counts.add(new, earlier)
        pending = pa.concat_tables([pending, new])
        if pending.nbytes > _LEDGER_BYTES:
            ledger.append(output, pending, version)
            pending = pending.slice(0, 0)
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
