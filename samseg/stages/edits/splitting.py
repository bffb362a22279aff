"""Splits of a class: the masks that stand for both sides, and the sides of a codebook's cells.

A split stores exemplars of both sides. Under any codebook with a tree, each cell goes to the side
whose exemplars have the nearer mean, so a split costs a table of a few rows and no assignment is
written again.
"""

from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import schema
from samseg.clustering.codebook import Codebook
from samseg.clustering.hierarchy import Hierarchy
from samseg.clustering.transform import unit
from samseg.edits.edit import Exemplar, Split
from samseg.errors import NotFoundError
from samseg.output import Output
from samseg.stages.embeddings import read_embeddings
from samseg.types import Bool, Float32

_READS_AT_A_TIME = 16
_PREFIX = 1
"""Exemplars have the lowest ranks, by which parts are sorted: most are in the first row group."""


def sides_of(output: Output, codebook: Codebook, split: Split) -> Bool:
    """Return which cells of a codebook's tree are on the new side of a split, (k,) bool.

    A side whose exemplars have all been forgotten has no cells.
    """
    hierarchy = codebook.hierarchy
    if hierarchy is None:
        return np.zeros(0, np.bool_)
    kept, new = (points_of(output, codebook, side) for side in (split.kept, split.new))
    return nearer_to_new(hierarchy, kept, new)


def nearer_to_new(hierarchy: Hierarchy, kept: Float32, new: Float32) -> Bool:
    """Return which cells are nearer to the mean of one side than to that of the other, (k,) bool.

    Args:
        hierarchy: the cells.
        kept: (n, d) unit rows of the side that keeps the id; may be empty.
        new: (m, d) unit rows of the new side; may be empty, then it has no cells.
    """
    if not len(new) or not len(kept):
        return np.full(len(hierarchy.vectors), len(new) > 0)
    cells = hierarchy.vectors.astype(np.float64)
    (ahead, behind), _ = unit(np.stack([p.sum(axis=0, dtype=np.float64) for p in (new, kept)]))
    return cells @ ahead.astype(np.float64) > cells @ behind.astype(np.float64)


def points_of(output: Output, codebook: Codebook, masks: Iterable[Exemplar]) -> Float32:
    """Read masks as a codebook compares them: (n, d) unit rows, in the order of their ids.

    Masks that have been forgotten, or have no direction, are left out.
    """
    vectors = vectors_of(output, codebook.embedding, masks)
    points, valid = codebook.transform.apply(vectors)
    return points[valid]


def vectors_of(output: Output, embedding: str, masks: Iterable[Exemplar]) -> Float32:
    """Read raw embeddings of some masks, in the order of shard and mask.

    Returns:
        (n, d) float32; masks that have been forgotten, or have no embedding, are left out.
    """
    found = vectors_by_mask(output, embedding, masks)
    rows = [found[mask] for mask in sorted(found)]
    return np.stack(rows) if rows else np.zeros((0, schema.DIMENSION), np.float32)


def vectors_by_mask(
    output: Output, embedding: str, masks: Iterable[Exemplar]
) -> dict[str, Float32]:
    """Read raw embeddings of some masks, mask id -> (d,) float32; see `vectors_of`."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for mask in masks:
        wanted[mask.shard_id].append(mask.mask_id)

    def of_shard(shard: str) -> dict[str, Float32]:
        own = pa.array(wanted[shard], pa.string())
        try:
            part = _rows(output, shard, embedding, own, _PREFIX)
            if part.num_rows < len(own):
                part = _rows(output, shard, embedding, own, None)
        except NotFoundError:
            return {}
        part = part.filter(part["embedding"].is_valid())
        ids = part["mask_id"].to_pylist()
        return dict(zip(ids, schema.matrix_of(part["embedding"]), strict=True)) if ids else {}

    with ThreadPoolExecutor(_READS_AT_A_TIME) as threads:
        return {m: v for found in threads.map(of_shard, sorted(wanted)) for m, v in found.items()}


def _rows(
    output: Output, shard: str, embedding: str, masks: pa.Array, rows: int | None
) -> pa.Table:
    """Return the rows of some masks among the first row groups of a part, or in all of it."""
    part = read_embeddings(output, shard, embedding, ["mask_id", "embedding"], rows)
    return part.filter(pc.is_in(part["mask_id"], value_set=masks))
