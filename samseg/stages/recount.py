"""Counts a whole output folder anew and compares the ledgers with it: `samseg status --recount`."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from samseg import ledger
from samseg.engine.protocol import Engine
from samseg.output import Output
from samseg.stages.class_tally import class_rows
from samseg.stages.tally import require_no, tally

Rows = Mapping[tuple[str, str | None], Mapping[str, Any]]


def recount(output: Output, engine: Engine) -> int:
    """Read every part, and write new ledgers if the stored ones have other counts.

    A map over all shards on the engine, whatever the ledgers say.

    Args:
        output: the output folder.
        engine: counts the shards.

    Returns:
        The number of shards that were counted otherwise; shards that no ledger has are not among
        them.

    Raises:
        StorageError: a part is damaged.
    """
    sizes = output.sizes("images")
    stored = ledger.read(output, sizes)
    found = tally(output, engine, write=False, known=False, sizes=sizes)
    require_no(found.problems)
    wrong = _mended(output, stored, found.rows, None)
    versions = output.codebook_versions()
    if versions:
        version = versions[-1]
        parts = output.sizes("assignments", version)
        parts = {shard: size for shard, size in parts.items() if shard in sizes}
        stored = ledger.read(output, parts, version)
        _, rows = class_rows(output, version, engine, parts, known=False)
        wrong |= _mended(output, stored, ledger.table_of(rows, version), version)
    return len(wrong)


def _mended(output: Output, stored: pa.Table, found: pa.Table, version: int | None) -> set[str]:
    """Write what was found if a stored row differs; return the shards of such rows."""
    before, now = _by_shard(stored), _by_shard(found)
    wrong = {key[0] for key, row in before.items() if not _same(row, now.get(key))}
    if wrong:
        ledger.append(output, [*now.values()], version, anew=True)
    return wrong


def _by_shard(rows: pa.Table) -> Rows:
    return {(row["shard_id"], row.get("replaces")): row for row in rows.to_pylist()}


def _same(stored: Mapping[str, Any], found: Mapping[str, Any] | None) -> bool:
    """Compare two rows; assignments without any class do not tell which masks are invalid."""
    return found is not None and {**stored, "invalid": None} == {**found, "invalid": None}
