"""The rows of a plan: shards as a table, and tables as shards."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa

from samseg import schema
from samseg.types import Shard, Source

RETRIES = b"samseg.retries"
"""Key in the metadata of a plan: number of its rows with `retry_of`. Earlier versions lack it."""
_LATER = ("retry_of", "members", "start", "stop")
"""Columns that the first versions lacked."""
ReadAgain = dict[tuple[str, int | None], list[str]]
_COLUMNS = ("key", "uri", "etag", "bytes", "retry_of", "members", "start", "stop")


def plan_of(shards: Iterable[Shard], images_per_source: int | None) -> pa.Table:
    """Return the plan of some shards.

    Args:
        shards: the shards, in planning order.
        images_per_source: images in an object, None if unknown before reading (see
            `samseg.readers`).
    """
    rows = [(shard.id, s) for shard in shards for s in shard.sources]
    sources = [s for _, s in rows]
    columns: dict[str, list[Any]] = {c: [getattr(s, c) for s in sources] for c in _COLUMNS}
    columns["shard_id"] = [shard_id for shard_id, _ in rows]
    columns["images"] = [
        images_per_source if s.members is None else len(s.members) for s in sources
    ]
    plan = pa.table([columns[name] for name in schema.PLAN.names], schema=schema.PLAN)
    retries = str(plan.num_rows - plan["retry_of"].null_count)
    return plan.replace_schema_metadata({**plan.schema.metadata, RETRIES: retries})


def completed(plan: pa.Table, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a plan with all columns, or some; those that its version lacked are null.

    Raises:
        KeyError: it lacks a column that plans of every version have.
    """
    for name in _LATER:
        if name not in plan.column_names:
            field = schema.PLAN.field(name)
            plan = plan.append_column(field, pa.nulls(plan.num_rows, field.type))
    wanted = schema.PLAN.names if columns is None else list(columns)
    if lacking := [name for name in wanted if name not in plan.column_names]:
        raise KeyError(", ".join(lacking))
    return plan.select(wanted)


def shards_of(plans: Iterable[Iterable[pa.Table]]) -> Iterator[Shard]:
    """Yield the shards of plans in planning order; one that was planned twice once.

    Args:
        plans: each as tables that follow each other, as `completed` returns them; one table is in
            memory at a time.
    """
    seen: set[str] = set()
    read_again: ReadAgain = {}
    for plan in plans:
        rows = (row for table in plan for row in table.to_pylist())
        for _, of_shard in groupby(rows, key=itemgetter("shard_id")):
            shard = _shard(list(of_shard), read_again)
            if shard.id not in seen:
                seen.add(shard.id)
                yield shard


def _shard(rows: list[Mapping[str, Any]], read_again: ReadAgain) -> Shard:
    """Return the shard of some rows.

    Args:
        rows: of one shard.
        read_again: the earlier shards of objects, and of ranges, that a plan has again; kept up
            to date.
    """
    sources = tuple(
        Source(
            r["key"],
            r["uri"],
            r["etag"],
            r["bytes"],
            r["retry_of"],
            _members(r),
            r["start"],
            r["stop"],
        )
        for r in rows
    )
    counts = [r["images"] for r in rows]
    shard_id, earlier = rows[0]["shard_id"], []
    for source in sources:
        if source.retry_of is not None:
            known = read_again.setdefault((source.key, source.start), [source.retry_of])
            if source.members is None and None in counts:
                earlier += known
            known.append(shard_id)
    return Shard(shard_id, sources, None if None in counts else sum(counts), tuple(earlier))


def _members(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    return None if row["members"] is None else tuple(row["members"])
