"""The outlines that people drew in place of the machine's: `corrections/{n}.parquet`.

An edit of the log refers to each table, so an outline holds from that edit on, and an undo gives
the machine's back. A table that no edit refers to has no effect: a run was interrupted before its
edit.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from samseg import schema
from samseg.edits.resolved import ResolvedClasses
from samseg.edits.tables import CORRECTIONS
from samseg.output import Output

_SHAPE = ["mask_id", "bbox", "area", "rle"]


def outlines_in(
    output: Output, found: ResolvedClasses, mask_ids: pa.ChunkedArray
) -> dict[str, dict[str, Any]]:
    """Return `bbox`, `area` and `rle` of those masks whose outline a person drew."""
    if not found.outlines.num_rows:
        return {}
    own = pc.is_in(found.outlines["mask_id"], value_set=mask_ids.combine_chunks())
    chosen = found.outlines.filter(own).select(["mask_id", "correction"]).to_pylist()
    return outlines_of(output, {row["mask_id"]: row["correction"] for row in chosen})


def outlines_of(output: Output, correction_of: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Read outlines; those of a forgotten image are left out.

    Args:
        output: the output folder.
        correction_of: mask id -> number of the table that has its outline.

    Returns:
        Mask id -> `bbox`, `area` and `rle`, as in the table `masks`.
    """
    outlines: dict[str, dict[str, Any]] = {}
    for number in sorted({*correction_of.values()}):
        table = output.read(output.correction_key(number), _SHAPE)
        ids = pa.array([m for m, n in correction_of.items() if n == number], pa.string())
        for row in table.filter(pc.is_in(table["mask_id"], value_set=ids)).to_pylist():
            outlines[row.pop("mask_id")] = row
    return outlines


def write_outlines(output: Output, rows: Sequence[Mapping[str, Any]], author: str) -> int:
    """Write a table of outlines.

    Args:
        output: the output folder.
        rows: `mask_id`, `image_id`, `bbox`, `area` and `rle` of each.
        author: who drew them.

    Returns:
        The number of the table.
    """
    time = datetime.now(UTC).isoformat(timespec="seconds")
    number = max(output.correction_numbers(), default=0) + 1
    while True:
        origin = {"author": author, "time": time, "correction": number}
        table = schema.table_of([{**row, **origin} for row in rows], CORRECTIONS)
        if output.storage.put_new(output.correction_key(number), schema.encode(table)):
            return number
        number += 1
