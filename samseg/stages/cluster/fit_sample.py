"""Reads the fit sample: the masks that a fit uses.

The sample consists of the masks whose ids have the smallest hashes. It depends neither on the order
of nights nor on how masks are packed into shards, and changes little as the lake grows. Only one
shard and the chosen rows are in memory at a time.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import schema
from samseg.clustering.codebook import Codebook
from samseg.clustering.levels import LeftOut
from samseg.clustering.sample import FitSample
from samseg.output import Output
from samseg.stages.cluster.embeddings import Embeddings
from samseg.types import NOISE, Bool, Int32, Int64, sample_rank_of


@dataclass(frozen=True, slots=True)
class Parent:
    """The codebook that new classes are aligned with, and what it was fitted to.

    Attributes:
        codebook: the newest one so far.
        embeddings: those that it was fitted to.
        assigned: the shards that have assignments under it.
    """

    codebook: Codebook
    embeddings: Embeddings
    assigned: set[str]

    def class_ids(self, output: Output, shard: str, mask_ids: pa.Array) -> Int32:
        """Return the class of masks of one shard, assigning them where that was never done."""
        if shard not in self.assigned and not self.embeddings.has(shard):
            return np.full(len(mask_ids), NOISE, np.int32)
        if shard in self.assigned:
            key = output.assignments_key(self.codebook.version, shard)
            part = output.read(key, ["mask_id", "class_id"])
            known, class_ids = part["mask_id"], part["class_id"].to_numpy()
        else:
            part = self.embeddings.rows(shard)
            part = part.filter(part["embedding"].is_valid())
            known = part["mask_id"]
            class_ids = self.codebook.assign(schema.matrix_of(part["embedding"])).class_ids
        row = pc.fill_null(pc.index_in(mask_ids, value_set=known), -1).to_numpy()
        return np.append(class_ids, NOISE)[row].astype(np.int32)  # row -1: no embedding there


def read_fit_sample(
    embeddings: Embeddings,
    shards: list[str],
    size: int,
    parent: Parent | None,
    left_out: LeftOut | None = None,
) -> tuple[FitSample, int]:
    """Choose and read the fit sample.

    Args:
        embeddings: what to read.
        shards: ids of the shards to choose from.
        size: masks to choose; all if there are fewer.
        parent: what `parent_class_ids` refer to.
        left_out: chooses among the masks for which it is True only.

    Returns:
        The sample in the order of mask ids, and the number of masks it was chosen from.
    """
    chosen, total = _choose(embeddings, shards, size, left_out)
    count = len(chosen.mask_ids)
    matrix = np.zeros((count, 0 if count else schema.DIMENSION), np.float32)
    image_ids = np.empty(count, object)
    class_ids = np.full(count, NOISE, np.int32)
    for number in np.unique(chosen.shards):
        shard, here = shards[number], np.flatnonzero(chosen.shards == number)
        part = embeddings.rows(shard).take(chosen.rows[here])
        found = schema.matrix_of(part["embedding"])
        if not matrix.shape[1]:
            matrix = np.zeros((count, found.shape[1]), np.float32)
        matrix[here] = found
        image_ids[here] = part["image_id"].to_pylist()
        if parent is not None:
            ids = part["mask_id"].combine_chunks()
            class_ids[here] = parent.class_ids(embeddings.output, shard, ids)
    return FitSample(chosen.mask_ids.tolist(), image_ids.tolist(), matrix, class_ids), total


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Where the chosen masks are, in the order of their ids."""

    mask_ids: np.ndarray
    shards: Int64
    rows: Int64


def _choose(
    embeddings: Embeddings, shards: list[str], size: int, left_out: LeftOut | None
) -> tuple[_Chosen, int]:
    hashes, ids = np.zeros(0, np.uint64), np.zeros(0, object)
    positions = np.zeros((0, 2), np.int64)  # (shard number, row)
    total = 0
    for number, shard in enumerate(shards):
        mask_ids, rows = _candidates(embeddings, shard, left_out)
        total += len(rows)
        ids = np.concatenate([ids, np.array(mask_ids, object)])
        hashes = np.concatenate(
            [hashes, np.array([sample_rank_of(i) for i in mask_ids], np.uint64)]
        )
        new_positions = np.stack([np.full(len(rows), number), rows], axis=1)
        positions = np.concatenate([positions, new_positions])
        if len(hashes) > 2 * size or (number == len(shards) - 1 and len(hashes) > size):
            smallest = np.argpartition(hashes, size)[:size]
            hashes, ids, positions = hashes[smallest], ids[smallest], positions[smallest]
    order = np.argsort(ids)
    return _Chosen(ids[order], positions[order, 0], positions[order, 1]), total


def _candidates(
    embeddings: Embeddings, shard: str, left_out: LeftOut | None
) -> tuple[list[str], Int64]:
    """Return ids and rows of the masks of one shard that can be chosen."""
    if left_out is None:
        mask_ids, present = embeddings.ids(shard)
    else:
        part = embeddings.rows(shard)
        mask_ids, present = part["mask_id"], _left_out(part["embedding"], left_out)
        present &= embeddings.is_current(shard, mask_ids)
    rows = np.flatnonzero(present)
    return mask_ids.take(pa.array(rows)).to_pylist(), rows


def _left_out(column: pa.ChunkedArray, left_out: LeftOut) -> Bool:
    present = column.is_valid().to_numpy().astype(np.bool_)
    present[present] = left_out(schema.matrix_of(column.filter(pa.array(present))))
    return present
