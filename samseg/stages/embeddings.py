"""Reads the embeddings of a shard: SAM's from `masks`, all others from tables of their own."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from samseg.output import Output
from samseg.schema import SAM_COLUMN

COLUMNS = ("mask_id", "image_id", "status", "embedding")


def read_embeddings(
    output: Output,
    shard_id: str,
    name: str,
    columns: Sequence[str] = COLUMNS,
    rows: int | None = None,
) -> pa.Table:
    """Read one embedding of the masks of a shard.

    Args:
        output: the output folder.
        shard_id: a shard that has this embedding.
        name: `sam`, or a named embedding.
        columns: of `COLUMNS`.
        rows: read the row groups that the first `rows` rows are in; all for None.

    Returns:
        One row per mask; `embedding` is null unless `status` is `ok`. Rows of `sam` are in the
        order of `masks`, those of a named embedding sorted by `samseg.types.sample_rank_of`.

    Raises:
        NotFoundError: the shard does not have this embedding.
    """
    if name == SAM_COLUMN:
        return output.read(output.masks_key(shard_id), list(columns), rows)
    stored = dict.fromkeys("mask_id" if c == "image_id" else c for c in columns)
    part = output.read(output.embeddings_key(name, shard_id), list(stored), rows)
    if "image_id" in columns:
        owners = pc.replace_substring_regex(part["mask_id"], pattern="-[0-9]+$", replacement="")
        part = part.append_column("image_id", owners)
    return part.select(list(columns))
