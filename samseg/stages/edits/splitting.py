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
from samseg.clustering.transform import unit
from samseg.edits.edit import Exemplar, Split
from samseg.errors import NotFoundError
from samseg.output import Output
from samseg.stages.embeddings import read_embeddings
from samseg.types import Bool, Float32

_READS_AT_A_TIME = 16


def sides_of(output: Output, codebook: Codebook, split: Split) -> Bool:
    """Return which cells of a codebook's tree are on the new side of a split, (k,) bool.

    A side whose exemplars have all been forgotten has no cells.
    """
    hierarchy = codebook.hierarchy
    if hierarchy is None:
        return np.zeros(0, np.bool_)
    kept, new = (
        _mean(codebook, vectors_of(output, codebook.embedding, side))
        for side in (split.kept, split.new)
    )
    if new is None:
        return np.zeros(len(hierarchy.vectors), np.bool_)
    if kept is None:
        return np.ones(len(hierarchy.vectors), np.bool_)
    cells = hierarchy.vectors.astype(np.float64)
    return cells @ new > cells @ kept


def _mean(codebook: Codebook, vectors: Float32) -> Float32 | None:
    """Return the direction of the mean of raw vectors after the transform, (d,) float64."""
    if not len(vectors):
        return None
    points, valid = codebook.transform.apply(vectors)
    mean = unit(points[valid].sum(axis=0, dtype=np.float64, keepdims=True))[0][0]
    return mean.astype(np.float64) if valid.any() else None


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
        try:
            part = read_embeddings(output, shard, embedding, ["mask_id", "embedding"])
        except NotFoundError:
            return {}
        own = pc.is_in(part["mask_id"], value_set=pa.array(wanted[shard], pa.string()))
        part = part.filter(pc.and_(own, part["embedding"].is_valid()))
        ids = part["mask_id"].to_pylist()
        return dict(zip(ids, schema.matrix_of(part["embedding"]), strict=True)) if ids else {}

    with ThreadPoolExecutor(_READS_AT_A_TIME) as threads:
        return {m: v for found in threads.map(of_shard, sorted(wanted)) for m, v in found.items()}
