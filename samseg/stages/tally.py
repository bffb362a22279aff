"""Keeps the ledgers: counts the shards that are in none yet, in a map on the engine.

Readers of the folder (`samseg status`, the report) count what is missing for themselves and write
nothing; a night appends it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from samseg import ledger
from samseg.engine.protocol import Engine, Task
from samseg.errors import DamagedError, NotFoundError, StorageError
from samseg.ledger import Sizes
from samseg.output import Output
from samseg.schema import SECONDS
from samseg.stages.table_map import ROWS_PER_PART, PerItem, grouped, results
from samseg.superseded import Replanned, is_current


@dataclass(frozen=True, slots=True)
class _Uncounted:
    """What a row of the ledger is to count.

    Attributes:
        shard: a committed shard.
        bytes: of its images part, or of that of the earlier shard.
        replaces: an earlier shard, of which `images` are counted.
        images: ids of images; None for all of `shard`.
    """

    shard: str
    bytes: int
    replaces: str | None = None
    images: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class TallySpec(PerItem[_Uncounted, dict[str, Any] | str]):
    """What workers receive: the output folder. Counts rows, or says what is wrong with a part."""

    output: Output

    def of_item(self, item: _Uncounted) -> dict[str, Any] | str:
        """Count one row of the ledger."""
        try:
            return self._counted(item)
        except (DamagedError, NotFoundError) as e:
            return str(e)

    def _counted(self, of: _Uncounted) -> dict[str, Any]:
        output = self.output
        key = output.images_key(of.replaces or of.shard)
        part = output.read(key, ["image_id", "status", "masks", "seconds"])
        row: dict[str, Any] = {"shard_id": of.shard, "replaces": of.replaces, "bytes": of.bytes}
        if of.images is not None:
            part = part.filter(pa.array(~is_current(part["image_id"], of.images)))
        else:
            row["mask_bytes"] = _require_masks(output, of.shard, pc.sum(part["masks"]).as_py() or 0)
        statuses = part["status"].value_counts().to_pylist()
        seconds = part["seconds"].combine_chunks()
        return row | {
            "images": part.num_rows,
            "masks": pc.sum(part["masks"]).as_py() or 0,
            "statuses": [{"status": s["values"], "images": s["counts"]} for s in statuses],
            "seconds": {s: pc.sum(pc.struct_field(seconds, s)).as_py() or 0.0 for s in SECONDS},
        }


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """The ledger of an output folder, and what it does not have.

    Attributes:
        rows: of `samseg.schema.LEDGER`, for every committed shard that could be read.
        problems: what is wrong with the others.
    """

    rows: pa.Table
    problems: Sequence[str] = field(default=())


def tally(
    output: Output,
    engine: Engine,
    *,
    write: bool,
    known: bool = True,
    sizes: Sizes | None = None,
    replanned: Replanned | None = None,
) -> Tally:
    """Count every committed shard, from the ledger as far as that goes.

    Args:
        output: the output folder.
        engine: counts the others.
        write: append these to the ledger.
        known: False counts everything anew and writes nothing.
        sizes: of the images parts, if they are listed already.
        replanned: what was planned again, if it was read already.
    """
    replanned = Replanned(output) if replanned is None else replanned
    sizes = output.sizes("images") if sizes is None else sizes
    rows = ledger.read(output, sizes if known else {})
    missing = list(_uncounted(replanned, sizes, rows))
    if not missing:
        return Tally(rows)
    tasks = (Task(group[0].shard, group) for group in grouped(missing))
    found: list[dict[str, Any]] = []
    problems: list[str] = []
    engine = engine.for_tables(ROWS_PER_PART * len(missing))
    for part in results(engine, TallySpec(output).build, tasks):
        for row in part:
            problems.append(row) if isinstance(row, str) else found.append(row)
    added = ledger.table_of(found)
    if write and known:
        ledger.append(output, added)
    return Tally(pa.concat_tables([rows, added]), problems)


def counted(output: Output, engine: Engine, note: Callable[[str], None]) -> Engine:
    """Bring the ledger up to date, and return the engine for maps over the tables of the lake.

    Args:
        output: the output folder.
        engine: the engine of the night.
        note: told what cannot be counted.
    """
    tallied = tally(output, engine, write=True)
    if tallied.problems:
        note(f"{len(tallied.problems)} shards cannot be read: {tallied.problems[0]}")
    return engine.for_tables(ledger.image_counts(tallied.rows).masks)


def _uncounted(replanned: Replanned, sizes: Sizes, rows: pa.Table) -> Iterator[_Uncounted]:
    counted = set(zip(rows["shard_id"].to_pylist(), rows["replaces"].to_pylist(), strict=True))
    for shard in sorted(sizes):
        if (shard, None) not in counted:
            yield _Uncounted(shard, sizes[shard])
    replaced = replanned.replaced(set(sizes))
    for (shard, earlier), images in sorted(replaced.items()):
        if (shard, earlier) not in counted:
            yield _Uncounted(shard, sizes[earlier], earlier, images)


def require_masks(output: Output, rows: pa.Table) -> None:
    """Check that the masks parts of counted shards are those that were counted: one LIST.

    Raises:
        StorageError: one is missing or damaged.
    """
    sizes = output.sizes("masks")
    own = rows.filter(pc.is_null(rows["replaces"])).select(["shard_id", "mask_bytes", "masks"])
    for shard, size, masks in zip(*(own[c].to_pylist() for c in own.column_names), strict=True):
        if sizes.get(shard) != size:
            _require_masks(output, shard, masks)


def _require_masks(output: Output, shard: str, wanted: int) -> int:
    """Check that a shard has the masks that its images count, and return the size of the part."""
    key = output.masks_key(shard)
    found = output.rows(key)
    with output.decoding(key):
        if found != wanted:
            raise ValueError(f"{found} masks, where {output.images_key(shard)} counts {wanted}")
    return output.storage.stat(key).bytes


def require_no(problems: Sequence[str]) -> None:
    """Raise the first problem of a tally.

    Raises:
        StorageError: there is one.
    """
    if problems:
        raise StorageError(problems[0])
