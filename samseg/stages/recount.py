"""Counts a whole output folder anew and compares the ledgers with it: `samseg status --recount`."""

import pyarrow as pa

from samseg import ledger
from samseg.engine.protocol import Engine
from samseg.output import Output
from samseg.stages.class_tally import class_rows
from samseg.stages.edits.current_counts import current_rows
from samseg.stages.edits.resolution import resolved
from samseg.stages.edits.shard_classes import lacking_members
from samseg.stages.tally import require_no, tally


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
        wrong |= _mended(output, stored, rows, version)
        now = resolved(output, version)
        if now.divided:
            complete = parts.keys() - lacking_members(output, version, now)
            edit, _, rows = current_rows(output, version, engine, complete, now, known=False)
            parts = {shard: parts[shard] for shard in complete}
            stored = ledger.read(output, parts, version, edit)
            wrong |= _mended(output, stored, rows, version, edit)
    return len(wrong)


def _mended(
    output: Output, stored: pa.Table, found: pa.Table, version: int | None, edit: int | None = None
) -> set[str]:
    """Write what was found if a stored row differs; return the shards of such rows."""
    if "invalid" in found.schema.names:  # assignments without any class do not tell them
        stored, compared = stored.drop_columns("invalid"), found.drop_columns("invalid")
    else:
        compared = found
    row_of = _by_shard(compared)
    wrong = {
        key[0]
        for key, row in _by_shard(stored).items()
        if key not in row_of or not stored.slice(row, 1).equals(compared.slice(row_of[key], 1))
    }
    if wrong:
        ledger.append(output, found, version, edit, anew=True)
    return wrong


def _by_shard(rows: pa.Table) -> dict[tuple[str, str | None], int]:
    """Return the position of each row by shard and `replaces`."""
    shards, count = rows["shard_id"].to_pylist(), rows.num_rows
    again = rows["replaces"].to_pylist() if "replaces" in rows.schema.names else [None] * count
    return {key: row for row, key in enumerate(zip(shards, again, strict=True))}
