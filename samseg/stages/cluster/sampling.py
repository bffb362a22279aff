"""Chooses the masks of a fit sample: a map over all embeddings of the lake.

The sample consists of the masks whose ids have the smallest hashes. It depends neither on the order
of nights nor on how masks are packed into shards, and changes little as the lake grows.

Workers return positions, not embeddings. Each task is given a cutoff: the largest hash that can
still be chosen by what is known when the task is drawn. So the driver receives few more positions
than it keeps, however many masks there are, and need not know how many in advance.
"""

from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from samseg import schema
from samseg.clustering.levels import LeftOut
from samseg.engine.protocol import Attempt, Engine, Heartbeat, Slot, Task
from samseg.stages.cluster.embeddings import Embeddings
from samseg.stages.table_map import each, grouped, results
from samseg.types import Bool, Int32, Int64, sample_rank_of

UInt64 = NDArray[np.uint64]

_LARGEST = 2**64 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Where n chosen masks are.

    Attributes:
        shards: ids of all shards.
        shard: (n,) int32, position of each mask's shard in `shards`, ascending.
        row: (n,) int32, its row in the part of that shard, ascending within a shard.
        total: number of masks that these were chosen from.
    """

    shards: Sequence[str]
    shard: Int32
    row: Int32
    total: int

    def __len__(self) -> int:
        return len(self.shard)


@dataclass(frozen=True, slots=True)
class _Draw:
    """The payload of a task: some shards, and the largest hash that can be chosen."""

    shards: tuple[str, ...]
    cutoff: int


@dataclass(frozen=True, slots=True, eq=False)
class _ShardCandidates:
    """The masks of one shard that can be chosen.

    Attributes:
        hashes: (n,) uint64, at most the cutoff.
        rows: (n,) int64, their rows in the part.
        total: masks of the shard that are chosen from, those above the cutoff included.
    """

    shard: str
    hashes: UInt64
    rows: Int64
    total: int


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """What workers receive.

    Attributes:
        embeddings: what to choose from.
        left_out: choose among the masks for which it is True only; None for all.
    """

    embeddings: Embeddings
    left_out: LeftOut | None = None

    def build(self, slot: Slot) -> "SampleSpec":
        """Return the work; there is nothing to load."""
        return self

    def __call__(
        self, task: Task[_Draw], attempt: Attempt[_Draw]
    ) -> Generator[Heartbeat, None, list[_ShardCandidates]]:
        """Find the candidates of some shards."""
        of_shard = partial(self._candidates, cutoff=task.payload.cutoff)
        return (yield from each(task.id, task.payload.shards, attempt, of_shard))

    def _candidates(self, shard: str, cutoff: int) -> _ShardCandidates:
        if self.left_out is None:
            mask_ids, present = self.embeddings.ids(shard)
        else:
            part = self.embeddings.rows(shard)
            mask_ids = part["mask_id"].combine_chunks()
            present = _left_out(part["embedding"], self.left_out)
            present &= self.embeddings.is_current(shard, part["mask_id"])
        rows = np.flatnonzero(present)
        ids = mask_ids.take(pa.array(rows)).to_pylist()
        if self.embeddings.ranked:
            below = bisect_right(ids, cutoff, key=sample_rank_of)
            ids, kept = ids[:below], rows[:below]
        else:
            kept = rows
        hashes = np.array([sample_rank_of(i) for i in ids], np.uint64)
        small = hashes <= np.uint64(cutoff)
        return _ShardCandidates(shard, hashes[small], kept[small], len(rows))


def choose(
    embeddings: Embeddings,
    shards: Sequence[str],
    size: int,
    engine: Engine,
    left_out: LeftOut | None = None,
) -> Chosen:
    """Choose masks of the lake by the hashes of their ids.

    Args:
        embeddings: what to choose from.
        shards: ids of the shards.
        size: masks to choose; all if there are fewer.
        engine: runs the map.
        left_out: chooses among the masks for which it is True only.
    """
    smallest = _Smallest(size)
    number = {shard: n for n, shard in enumerate(shards)}

    def draws() -> Iterator[Task[_Draw]]:
        for group in grouped(shards):
            yield Task(group[0], _Draw(group, smallest.cutoff))

    total = 0
    for found in results(engine, SampleSpec(embeddings, left_out).build, draws()):
        for part in found:
            total += part.total
            smallest.add(part.hashes, number[part.shard], part.rows)
    shard, row = smallest.positions()
    return Chosen(shards, shard, row, total)


class _Smallest:
    """The positions with the smallest hashes so far: `size` of them, and at most as many again."""

    def __init__(self, size: int):
        self._size, self._count = size, 0
        self._parts: list[tuple[UInt64, Int32, Int32]] = []  # hashes, shards, rows
        self.cutoff = _LARGEST

    def add(self, hashes: UInt64, shard: int, rows: Int64) -> None:
        if len(rows):
            shards = np.full(len(rows), shard, np.int32)
            self._parts.append((hashes, shards, rows.astype(np.int32)))
            self._count += len(rows)
        if self._count > 2 * self._size:
            self._prune()

    def positions(self) -> tuple[Int32, Int32]:
        """Return the shards and rows that are chosen, in this order."""
        if not self._parts:
            return np.zeros(0, np.int32), np.zeros(0, np.int32)
        _, shard, row = self._prune()
        order = np.lexsort((row, shard))
        return shard[order], row[order]

    def _prune(self) -> tuple[UInt64, Int32, Int32]:
        hashes, shard, row = (np.concatenate(of) for of in zip(*self._parts, strict=True))
        if len(hashes) > self._size:
            kept = np.argpartition(hashes, self._size - 1)[: self._size]
            hashes, shard, row = hashes[kept], shard[kept], row[kept]
            self.cutoff = int(hashes.max())
        self._parts, self._count = [(hashes, shard, row)], len(hashes)
        return hashes, shard, row


def _left_out(column: pa.ChunkedArray, left_out: LeftOut) -> Bool:
    present = column.is_valid().to_numpy().astype(np.bool_)
    present[present] = left_out(schema.matrix_of(column.filter(pa.array(present))))
    return present
