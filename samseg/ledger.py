"""Ledgers: counts per shard, so that totals do not need every part of the lake.

`ledger/{n}.parquet` counts images and masks, `classes/v{version}/ledger/{n}.parquet` the masks of
each class, and `classes/v{version}/resolved/e{edit}/ledger/{n}.parquet` those of each class after
edits that divide classes. Every night appends the shards that are listed and in no ledger yet. A
ledger is a cache of the parts: a row counts as long as the part that it counted has the size that
it had then, and of several rows of a shard the one of the lowest number counts. A recount that
finds other counts begins anew: ledgers of lower numbers count no more.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import schema
from samseg.output import Output
from samseg.types import LABELLED

_ANEW = b"samseg.anew"
"""Key in the metadata of a ledger: those of lower numbers count no more."""
_READS_AT_A_TIME = 16
_ROWS = 10_000
"""Rows of one ledger; a refit of a large lake writes several."""

Sizes = Mapping[str, int]
"""Shard -> bytes of its part."""


@dataclass(slots=True)
class ImageCounts:
    """What is in `images` and `masks`; an image that was labelled again counts once.

    Attributes:
        images: images with a row, of any status.
        masks: their masks.
        statuses: images per status.
        seconds: worker seconds per step.
        failed_in: some of the shards with images that could not be labelled.
    """

    images: int = 0
    masks: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    failed_in: list[str] = field(default_factory=list)

    @property
    def labelled(self) -> int:
        """Images that were labelled."""
        return sum(self.statuses[status] for status in LABELLED)


def read(
    output: Output,
    sizes: Sizes,
    version: int | None = None,
    edit: int | None = None,
    *,
    columns: Sequence[str] = (),
) -> pa.Table:
    """Return the rows that count, one per shard and `replaces`, in no particular order.

    Args:
        output: the output folder.
        sizes: of the parts that are there now.
        version: of a codebook, for `CLASS_LEDGER`; None for `LEDGER`.
        edit: after which the classes are counted; None for those of the codebook.
        columns: to read beside those that tell which rows count; all if there are none.

    Raises:
        StorageError: a ledger is damaged.
    """
    table = schema.LEDGER if version is None else schema.CLASS_LEDGER
    if columns:
        wanted = {"shard_id", "replaces", "bytes", *columns}
        table = pa.schema([f for f in table if f.name in wanted], metadata=table.metadata)
    keys = [output.ledger_key(n, version, edit) for n in output.ledger_numbers(version, edit)]
    with ThreadPoolExecutor(_READS_AT_A_TIME) as threads:
        parts = list(threads.map(lambda key: output.read(key, table.names), keys))
    anew = [n for n, part in enumerate(parts) if _ANEW in (part.schema.metadata or {})]
    parts = [p.replace_schema_metadata(table.metadata) for p in parts[anew[-1] if anew else 0 :]]
    rows = pa.concat_tables([table.empty_table(), *parts])
    if not rows.num_rows:
        return rows
    counted = rows["shard_id"]
    if version is None:
        counted = pc.coalesce(rows["replaces"], counted)
    shards = pa.array(list(sizes), pa.string())
    now = pa.array(list(sizes.values()), pa.int64())
    position = pc.index_in(counted, value_set=shards)
    same = pc.fill_null(pc.equal(now.take(position.combine_chunks()), rows["bytes"]), False)
    counts = pc.and_(same, pc.is_in(rows["shard_id"], value_set=shards))
    kept = np.flatnonzero(counts.to_numpy())
    names = [name for name in ("shard_id", "replaces") if name in rows.column_names]
    first = _first(rows.select(names).take(pa.array(kept)))
    return rows.take(pa.array(kept[first]))  # the one copy of what may be large


def _first(rows: pa.Table) -> Any:
    """Return the first row of each combination of values, (n,) int64."""
    codes = [
        pc.index_in(rows[name], value_set=pc.unique(rows[name]), skip_nulls=False).to_numpy()
        for name in rows.column_names
    ]
    _, first = np.unique(np.stack(codes, axis=1), axis=0, return_index=True)
    return np.sort(first)


def append(
    output: Output,
    rows: pa.Table,
    version: int | None = None,
    edit: int | None = None,
    *,
    anew: bool = False,
) -> None:
    """Write rows as new ledgers, sorted by shard; nothing is written where there are none.

    What another run writes at the same time may count the same shards; see above.

    Args:
        output: the output folder.
        rows: of `LEDGER`, or of `CLASS_LEDGER`.
        version: of the codebook, for the latter.
        edit: see `read`.
        anew: earlier ledgers count no more.
    """
    numbers = output.ledger_numbers(version, edit) if rows.num_rows else []
    n = numbers[-1] + 1 if numbers else 0
    by_shard = [
        (name, "ascending") for name in ("shard_id", "replaces") if name in rows.schema.names
    ]
    rows = rows.sort_by(by_shard)
    for start in range(0, rows.num_rows, _ROWS):
        part = rows.slice(start, _ROWS)
        if anew and not start:
            part = part.replace_schema_metadata({**part.schema.metadata, _ANEW: "true"})
        payload = schema.encode(part)
        while not output.storage.put_new(output.ledger_key(n, version, edit), payload):
            n += 1
        n += 1


def table_of(rows: Sequence[Mapping[str, Any]], version: int | None = None) -> pa.Table:
    """Return rows as a table: of `LEDGER`, or with the version of a codebook of `CLASS_LEDGER`."""
    table = schema.LEDGER if version is None else schema.CLASS_LEDGER
    return schema.table_of([dict(row) for row in rows], table)


def image_counts(rows: pa.Table) -> ImageCounts:
    """Add up rows of `LEDGER`, as `read` returns them."""
    counts = ImageCounts()
    own = pc.is_null(rows["replaces"])
    for part, sign in ((rows.filter(own), 1), (rows.filter(pc.invert(own)), -1)):
        counts.images += sign * (pc.sum(part["images"]).as_py() or 0)
        counts.masks += sign * (pc.sum(part["masks"]).as_py() or 0)
        for step in schema.SECONDS:
            spent = pc.sum(pc.struct_field(part["seconds"], step)).as_py() or 0.0
            counts.seconds[step] = counts.seconds.get(step, 0.0) + sign * spent
        for status, images in _by_status(part):
            counts.statuses[status] += sign * images
    counts.statuses = +counts.statuses
    counts.failed_in = _failed_in(rows)
    return counts


def _by_status(rows: pa.Table) -> Iterator[tuple[str, int]]:
    flat = pc.list_flatten(rows["statuses"].combine_chunks())
    table = pa.table([pc.struct_field(flat, 0), pc.struct_field(flat, 1)], ["status", "images"])
    for row in table.group_by("status").aggregate([("images", "sum")]).to_pylist():
        yield row["status"], row["images_sum"]


def _failed_in(rows: pa.Table, limit: int = 50) -> list[str]:
    """Return the first shards with failed images that were not labelled again since."""
    statuses = rows["statuses"].combine_chunks()
    status = pc.struct_field(pc.list_flatten(statuses), 0)
    failed = pc.invert(pc.is_in(status, value_set=pa.array(LABELLED)))
    found = pc.list_parent_indices(statuses).filter(failed)
    with_failed = rows.take(pc.unique(found)).select(["shard_id", "replaces", "statuses"])
    left: Counter[str] = Counter()
    for row in with_failed.to_pylist():
        bad = sum(s["images"] for s in row["statuses"] if s["status"] not in LABELLED)
        left[row["replaces"] or row["shard_id"]] += -bad if row["replaces"] else bad
    return sorted(shard for shard, images in left.items() if images > 0)[:limit]
