"""Searches all embeddings of a lake for the masks nearest to a direction: a map over their parts.

Workers return the nearest of their shards only, so the driver holds a few masks per task.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from samseg import schema
from samseg.clustering.transform import Transform
from samseg.engine.protocol import Engine, Task
from samseg.errors import NotFoundError
from samseg.output import Output
from samseg.stages.embeddings import read_embeddings
from samseg.stages.table_map import ROWS_PER_PART, PerItem, grouped, results
from samseg.superseded import is_current, superseded


@dataclass(frozen=True, slots=True, order=True)
class Neighbour:
    """A mask near a direction; the order is by distance, then by id.

    Attributes:
        distance: cosine distance to it.
        mask_id: its id.
        shard_id: the shard in whose parts it is.
    """

    distance: float
    mask_id: str
    shard_id: str


@dataclass(frozen=True, slots=True, eq=False)
class SearchSpec(PerItem[str, Sequence[Neighbour]]):
    """What workers receive, once each.

    Attributes:
        output: the output folder.
        embedding: name of the embedding.
        transform: from raw embeddings to points.
        direction: (d,) float64, unit length, transformed.
        k: how many masks are wanted.
        left_out: ids of masks that are not wanted.
        not_current: shard -> its images whose rows do not count.
        forgotten: images that are being erased.
    """

    output: Output
    embedding: str
    transform: Transform
    direction: NDArray[np.float64]
    k: int
    left_out: frozenset[str]
    not_current: Mapping[str, frozenset[str]]
    forgotten: frozenset[str]

    def of_item(self, item: str) -> Sequence[Neighbour]:
        """Return the nearest masks of a shard, nearest first."""
        try:
            part = read_embeddings(self.output, item, self.embedding, ["mask_id", "embedding"])
        except NotFoundError:  # the shard has no such embedding yet
            return ()
        part = part.filter(part["embedding"].is_valid())
        ids = part["mask_id"]
        wanted = is_current(ids, self.not_current.get(item, frozenset()) | self.forgotten)
        unwanted = pc.is_in(ids, value_set=pa.array(sorted(self.left_out), pa.string()))
        wanted &= ~np.asarray(unwanted)
        if not wanted.any():
            return ()
        points, valid = self.transform.apply(schema.matrix_of(part["embedding"]))
        distance = np.maximum(1 - points.astype(np.float64) @ self.direction, 0)
        rows = np.flatnonzero(wanted & valid)
        if len(rows) > self.k:  # ties with the last one stay, so that the order is by id
            last = np.partition(distance[rows], self.k - 1)[self.k - 1]
            rows = rows[distance[rows] <= last]
        found = zip(distance[rows].tolist(), ids.take(rows).to_pylist(), strict=True)
        return heapq.nsmallest(self.k, (Neighbour(d, mask, item) for d, mask in found))


def nearest(
    output: Output,
    embedding: str,
    transform: Transform,
    direction: NDArray[np.float64],
    k: int,
    engine: Engine,
    left_out: frozenset[str] = frozenset(),
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[Neighbour]:
    """Return the masks nearest to a direction, nearest first.

    Args:
        output: the output folder; its committed shards are searched.
        embedding: name of the embedding.
        transform: from raw embeddings to points.
        direction: (d,) float64, unit length, transformed.
        k: how many.
        engine: runs the map.
        left_out: ids of masks that are not wanted.
        on_progress: called with the number of shards done.
    """
    shards = sorted(output.committed())
    spec = SearchSpec(
        output,
        embedding,
        transform,
        direction,
        k,
        left_out,
        superseded(output, {*shards}),
        frozenset(output.forgotten()),
    )
    best: list[Neighbour] = []
    done = 0
    engine = engine.for_tables(ROWS_PER_PART * len(shards))
    tasks = (Task(group[0], group) for group in grouped(shards))
    for of_shards in results(engine, spec.build, tasks):
        best = heapq.nsmallest(k, (*best, *(one for found in of_shards for one in found)))
        done += len(of_shards)
        on_progress(done)
    return best
