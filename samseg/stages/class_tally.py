"""Keeps the ledgers of classes: counts the assignments that are in none yet, on the engine."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from samseg import ledger, schema
from samseg.class_counts import ClassCounts, class_row
from samseg.engine.protocol import Engine, Task
from samseg.ledger import Sizes
from samseg.output import Output
from samseg.stages.table_map import ROWS_PER_PART, PerItem, grouped, results
from samseg.superseded import Replanned, is_current


@dataclass(frozen=True, slots=True)
class ClassTallySpec(PerItem[str, pa.Table]):
    """What workers receive.

    Attributes:
        output: the output folder.
        version: of the codebook.
        sizes: of its assignments parts, of the shards to count.
    """

    output: Output
    version: int
    sizes: Sizes

    def of_item(self, item: str) -> pa.Table:
        """Count the classes of one shard: a row of the ledger."""
        key = self.output.assignments_key(self.version, item)
        part = self.output.read(key, ["mask_id", "class_id", "distance", "margin"])
        return ledger.table_of([class_row(item, self.sizes[item], part)], self.version)


def class_rows(
    output: Output,
    version: int,
    engine: Engine,
    sizes: Sizes,
    *,
    known: bool = True,
    columns: Sequence[str] = (),
) -> tuple[pa.Table, pa.Table]:
    """Count the classes of every shard that has assignments under a codebook.

    Args:
        output: the output folder.
        version: of the codebook.
        engine: counts the shards that are in no ledger.
        sizes: of the assignments parts.
        known: False counts every shard anew.
        columns: to read of the ledger; all if there are none.

    Returns:
        The rows of the ledger, and rows that it lacks.
    """
    rows = ledger.read(output, sizes if known else {}, version, columns=columns)
    counted = set(rows["shard_id"].to_pylist())
    missing = {shard: sizes[shard] for shard in sorted(sizes) if shard not in counted}
    if not missing:
        return rows, schema.CLASS_LEDGER.empty_table()
    return rows, tallied(ClassTallySpec(output, version, missing), list(missing), engine)


def tallied(spec: PerItem[str, pa.Table], shards: Sequence[str], engine: Engine) -> pa.Table:
    """Count the classes of some shards, one or more, on the engine: rows of the ledger."""
    engine = engine.for_tables(ROWS_PER_PART * len(shards))
    tasks = (Task(group[0], group) for group in grouped(shards))
    return pa.concat_tables(
        row for of_task in results(engine, spec.build, tasks) for row in of_task
    )


def class_counts(output: Output, version: int, engine: Engine, images: pa.Table) -> ClassCounts:
    """Add up the masks of each class under a codebook; rows that do not count are left out.

    Args:
        output: the output folder.
        version: of the codebook.
        engine: counts the shards that are in no ledger.
        images: rows of the ledger of images; only their shards are counted.
    """
    committed = set(images["shard_id"].to_pylist())
    sizes = output.sizes("assignments", version)
    sizes = {shard: size for shard, size in sizes.items() if shard in committed}
    rows, more = class_rows(output, version, engine, sizes)
    counts = ClassCounts.of(rows)
    counts.add(more)
    again = images.filter(pc.and_(pc.is_valid(images["replaces"]), pc.greater(images["masks"], 0)))
    if again.num_rows:  # only folders of early versions have such images
        _take_back(output, version, counts, set(again["replaces"].to_pylist()))
    return counts


def _take_back(output: Output, version: int, counts: ClassCounts, shards: set[str]) -> None:
    assigned = output.assigned(version)
    superseded = Replanned(output).superseded(output.committed())
    for shard in sorted(shards & assigned & superseded.keys()):
        key = output.assignments_key(version, shard)
        part = output.read(key, ["mask_id", "class_id", "distance", "margin"])
        gone = part.filter(pa.array(~is_current(part["mask_id"], superseded[shard])))
        counts.add(ledger.table_of([class_row(shard, 0, gone)], version), sign=-1)
