"""Writes assignments: the class of each mask of a shard under one codebook."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from samseg import schema
from samseg.clustering.codebook import Codebook
from samseg.output import Output
from samseg.stages.cluster.embeddings import Embeddings
from samseg.types import NOISE, Float32

OnProgress = Callable[[int], None]


@dataclass(slots=True)
class AssignCounts:
    """What was assigned.

    Attributes:
        masks: rows written.
        new: those of shards that had no assignments under the parent codebook.
        noise: masks without a class.
        invalid: masks with no embedding, or one without a direction; part of `noise`.
    """

    masks: int = 0
    new: int = 0
    noise: int = 0
    invalid: int = 0


def assign(
    output: Output,
    codebook: Codebook,
    embeddings: Embeddings,
    shards: list[str],
    on_progress: OnProgress,
    known: Iterable[str] = (),
) -> AssignCounts:
    """Write the assignments of `shards`; those in `known` had some under the parent codebook."""
    codebook.check(embeddings.name, embeddings.recipe)
    counts, known = AssignCounts(), set(known)
    for shard in shards:
        table, invalid = _assignments(codebook, embeddings.rows(shard))
        key = output.assignments_key(codebook.version, shard)
        output.storage.put_new(key, schema.encode(table))
        counts.masks += table.num_rows
        counts.new += 0 if shard in known else table.num_rows
        counts.noise += int((table["class_id"].to_numpy() == NOISE).sum())
        counts.invalid += invalid
        on_progress(counts.masks)
    return counts


def _assignments(codebook: Codebook, part: pa.Table) -> tuple[pa.Table, int]:
    """Return the assignments of one part, row for row, and the number of invalid masks."""
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
