"""Reads the fit sample: the masks that a fit uses.

The sample consists of the masks whose ids have the smallest hashes. It depends neither on the order
of nights nor on how masks are packed into shards, and changes little as the lake grows. Only one
shard and the chosen rows are in memory at a time.
"""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import schema
from samseg.clustering.build import FitSample
from samseg.clustering.codebook import Codebook
from samseg.output import Output
from samseg.types import NOISE, Int64

_FIT_SAMPLE = pa.schema(
    [
        ("mask_id", pa.string()),
        ("image_id", pa.string()),
        ("embedding", schema.EMBEDDING),
        ("parent_class_id", pa.int32()),
    ]
)


def read_fit_sample(
    output: Output,
    shards: list[str],
    size: int,
    parent: Codebook | None,
    assigned: set[str],
) -> tuple[FitSample, int]:
    """Choose and read the fit sample.

    Args:
        output: the output folder.
        shards: ids of the shards to choose from.
        size: masks to choose; all if there are fewer.
        parent: the codebook that `parent_class_ids` refer to.
        assigned: the shards that have assignments under it; masks of others are assigned here.

    Returns:
        The sample, and the number of masks with an embedding that it was chosen from.
    """
    chosen, total = _choose(output, shards, size)
    parts = [
        _read_fit_sample(output, shard, chosen[shard], parent, shard in assigned)
        for shard in sorted(chosen)
    ]
    rows = pa.concat_tables([_FIT_SAMPLE.empty_table(), *parts]).sort_by("mask_id")
    return (
        FitSample(
            rows["mask_id"].to_pylist(),
            rows["image_id"].to_pylist(),
            schema.matrix_of(rows["embedding"]),
            rows["parent_class_id"].to_numpy().astype(np.int32),
        ),
        total,
    )


def _choose(output: Output, shards: list[str], size: int) -> tuple[dict[str, Int64], int]:
    """Return the chosen rows of each shard, and the number of masks chosen from."""
    hashes = np.zeros(0, np.uint64)
    positions = np.zeros((0, 2), np.int64)  # (shard number, row)
    total = 0
    for number, shard in enumerate(shards):
        part = output.read(output.masks_key(shard), ["mask_id", "status"])
        rows = np.flatnonzero(pc.equal(part["status"], "ok").to_numpy())
        total += len(rows)
        ids = part["mask_id"].to_pylist()
        new_hashes = np.array([_hash(ids[row]) for row in rows], dtype=np.uint64)
        hashes = np.concatenate([hashes, new_hashes])
        new_positions = np.stack([np.full(len(rows), number), rows], axis=1)
        positions = np.concatenate([positions, new_positions])
        if len(hashes) > size:
            smallest = np.argpartition(hashes, size)[:size]
            hashes, positions = hashes[smallest], positions[smallest]
    chosen = {
        shards[number]: np.sort(positions[positions[:, 0] == number, 1])
        for number in np.unique(positions[:, 0])
    }
    return chosen, total


def _hash(mask_id: str) -> int:
    digest = hashlib.blake2b(mask_id.encode(), digest_size=8, person=b"samseg-ref").digest()
    return int.from_bytes(digest, "big")


def _read_fit_sample(
    output: Output, shard: str, rows: Int64, parent: Codebook | None, assigned: bool
) -> pa.Table:
    columns = ["mask_id", "image_id", "embedding"]
    part = output.read(output.masks_key(shard), columns).take(rows)
    if parent is None:
        class_ids = np.full(len(rows), NOISE, np.int32)
    elif assigned:
        key = output.assignments_key(parent.version, shard)
        class_ids = output.read(key, ["class_id"])["class_id"].to_numpy()[rows]
    else:
        class_ids = parent.assign(schema.matrix_of(part["embedding"])).class_ids
    column = pa.array(class_ids, pa.int32())
    return part.append_column("parent_class_id", column).cast(_FIT_SAMPLE)
