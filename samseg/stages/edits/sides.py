"""Chooses the masks that stand for the two sides of a split.

They are an unbiased sample of each side (by the hash of `sample_rank_of`), so that their mean is
close to the side's.
"""

import heapq
from collections.abc import Sequence

import numpy as np

from samseg.clustering.codebook import Codebook
from samseg.clustering.hierarchy import Hierarchy
from samseg.edits.edit import EXEMPLARS, Exemplar, Split
from samseg.edits.resolved import ResolvedClasses
from samseg.errors import ConfigError
from samseg.output import Output
from samseg.stages.cluster.codebook_store import load_codebook
from samseg.stages.edits.lookup import labelled
from samseg.stages.edits.masks import located
from samseg.stages.edits.splitting import sides_of
from samseg.superseded import is_current, superseded
from samseg.types import Bool, Int64, sample_rank_of

Sides = tuple[tuple[Exemplar, ...], tuple[Exemplar, ...]]
"""Of the larger side, which keeps the id, and of the other."""

_SHARDS = 64
"""Shards that exemplars are chosen from, at most."""


def sides_by_tree(output: Output, version: int, found: ResolvedClasses, class_id: int) -> Sides:
    """Divide a class along the highest join of its cells in the tree of the codebook.

    Raises:
        ConfigError: the codebook has no tree, or the class cannot be divided.
    """
    codebook, hierarchy, cells = _cells(output, version, found, class_id)
    return _chosen(output, codebook, found, class_id, cells, branch(hierarchy, cells))


def sides_by_masks(
    output: Output, version: int, found: ResolvedClasses, class_id: int, masks: Sequence[str]
) -> Sides:
    """Divide a class by two masks: a cell goes to the nearer one.

    Raises:
        ConfigError: these are not two masks, or all cells are nearer to one of them.
    """
    if len({*masks}) != 2:
        raise ConfigError(f"--by: got {len({*masks})} masks, wanted two, one for each side")
    codebook, _, cells = _cells(output, version, found, class_id)
    first, second = located(output, masks)
    nearer = sides_of(output, codebook, Split(class_id=class_id, kept=(first,), new=(second,)))
    return _chosen(output, codebook, found, class_id, cells, nearer[cells])


def _cells(
    output: Output, version: int, found: ResolvedClasses, class_id: int
) -> tuple[Codebook, Hierarchy, Int64]:
    """Return the cells of a class under a codebook."""
    codebook = load_codebook(output, version)
    hierarchy = codebook.hierarchy
    if hierarchy is None:
        fit = codebook.settings.get("fit", {}).get("kind", "this fit")
        raise ConfigError(
            f"codebook v{version} has no tree, which a split needs ({fit} makes none); set "
            "cluster.fit.kind to linkage and run `samseg cluster -c CONFIG --refit`, or `move` "
            "single masks"
        )
    of_cells = codebook.node_classes[: hierarchy.tree.leaves]
    now = np.array([found.into.get(int(c), int(c)) for c in of_cells], np.int32)
    now[found.cells["cell"].to_numpy()] = found.cells["class_id"].to_numpy()
    cells = np.flatnonzero(now == class_id)
    if len(cells) < 2:
        few = "one cell" if len(cells) else "no cell"
        raise ConfigError(
            f"{labelled(found, class_id)} has {few} of the codebook's tree and cannot be divided; "
            "`move` takes single masks out of it"
        )
    return codebook, hierarchy, cells


def branch(hierarchy: Hierarchy, cells: Int64) -> Bool:
    """Return which cells are below the second branch of their lowest common node, (n,) bool.

    Cells of merged classes may meet above the cut: the branches are those of their own tree.
    """
    parent = hierarchy.tree.parent
    below = np.zeros(len(parent), np.int64)
    below[cells] = 1
    for node in range(len(parent)):  # a parent follows its children
        if parent[node] >= 0:
            below[parent[node]] += below[node]
    top = int(np.flatnonzero(below == len(cells))[0])
    inside = np.zeros(len(parent), np.bool_)
    second = [n for n in np.flatnonzero(parent == top) if below[n]][-1]
    inside[second] = True
    for node in range(int(second) - 1, -1, -1):
        inside[node] = parent[node] >= 0 and inside[parent[node]]
    return inside[cells]


def _chosen(
    output: Output,
    codebook: Codebook,
    found: ResolvedClasses,
    class_id: int,
    cells: Int64,
    second: Bool,
) -> Sides:
    """Choose the exemplars of both sides, from the first shards."""
    again = superseded(output, output.committed())
    is_second = dict(zip(cells.tolist(), second.tolist(), strict=True))
    sizes = [0, 0]
    best: list[list[tuple[int, str, str]]] = [[], []]
    shards = sorted(output.committed() & output.assigned(codebook.version))
    for number, shard in enumerate(shards):
        if number >= _SHARDS and all(best):
            break
        table = output.read(output.assignments_key(codebook.version, shard))
        classes = found.class_ids(table)
        kept = (classes == class_id) & is_current(table["mask_id"], again.get(shard, ()))
        rows = np.flatnonzero(kept)
        ids, of = table["mask_id"].take(rows).to_pylist(), table["cell"].take(rows).to_pylist()
        for mask_id, cell in zip(ids, of, strict=True):
            if cell in is_second:
                side = int(is_second[cell])
                sizes[side] += 1
                best[side].append((sample_rank_of(mask_id), mask_id, shard))
        best = [heapq.nsmallest(EXEMPLARS, side) for side in best]
    first, other = (
        tuple(Exemplar(mask_id=mask, shard_id=shard) for _, mask, shard in side) for side in best
    )
    kept, new = (first, other) if sizes[0] >= sizes[1] else (other, first)
    if kept and new:
        sides = sides_of(output, codebook, Split(class_id=class_id, kept=kept, new=new))[cells]
    if not (kept and new) or sides.all() or not sides.any():
        raise ConfigError(
            f"all masks of {labelled(found, class_id)} are on one side; choose other masks (--by), "
            "or `move` single masks"
        )
    return kept, new
