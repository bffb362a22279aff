"""The rows of a plan: shards as a table, and tables as shards."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from samseg import schema
from samseg.types import Shard, Source

RETRIES = b"samseg.retries"
"""Key in the metadata of a plan: number of its rows with `retry_of`. Earlier versions lack it."""
_LATER = ("retry_of", "members")
"""Columns that the first versions lacked."""
_COLUMNS = ("key", "uri", "etag", "bytes", "retry_of", "members")


def plan_of(shards: Iterable[Shard], images_per_source: int | None) -> pa.Table:
    """Return the plan of some shards.

    Args:
        shards: the shards, in planning order.
        images_per_source: images in an object, None if unknown before reading (see
            `samseg.readers`).
    """
    rows = [
        {
            "shard_id": shard.id,
            "images": images_per_source if s.members is None else len(s.members),
            **{column: getattr(s, column) for column in _COLUMNS},
        }
        for shard in shards
        for s in shard.sources
    ]
    retries = str(sum(row["retry_of"] is not None for row in rows))
    plan = schema.table_of(rows, schema.PLAN)
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


def shards_of(plans: Iterable[pa.Table]) -> Iterator[Shard]:
    """Yield the shards of plans in planning order; one that was planned twice once.

    Args:
        plans: as `completed` returns them; one is in memory at a time.
    """
    seen: set[str] = set()
    read_again: dict[str, list[str]] = {}
    for plan in plans:
        rows = plan.to_pylist()
        start = 0
        for end in range(1, len(rows) + 1):
            if end < len(rows) and rows[end]["shard_id"] == rows[start]["shard_id"]:
                continue
            shard = _shard(rows[start:end], read_again)
            if shard.id not in seen:
                seen.add(shard.id)
                yield shard
            start = end


def _shard(rows: list[Mapping[str, Any]], read_again: dict[str, list[str]]) -> Shard:
    """Return the shard of some rows.

    Args:
        rows: of one shard.
        read_again: by key, the earlier shards of objects that a plan has again; kept up to date.
    """
    sources = tuple(
        Source(r["key"], r["uri"], r["etag"], r["bytes"], r["retry_of"], _members(r)) for r in rows
    )
    counts = [r["images"] for r in rows]
    shard_id, earlier = rows[0]["shard_id"], []
    for source in sources:
        if source.retry_of is not None:
            known = read_again.setdefault(source.key, [source.retry_of])
            if source.members is None and None in counts:
                earlier += known
            known.append(shard_id)
    return Shard(shard_id, sources, None if None in counts else sum(counts), tuple(earlier))


def _members(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    return None if row["members"] is None else tuple(row["members"])
