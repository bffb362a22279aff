"""Divides a class in two, and chooses the masks that stand for the sides.

They are an unbiased sample of each side (by the hash of `sample_rank_of`), so that their mean is
close to the side's.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import ledger
from samseg.clustering.codebook import Codebook
from samseg.clustering.hierarchy import Hierarchy
from samseg.edits.edit import EXEMPLARS, Exemplar, Split
from samseg.edits.resolved import ResolvedClasses
from samseg.errors import ConfigError
from samseg.output import Output
from samseg.stages.edits.lookup import labelled
from samseg.stages.edits.masks import located
from samseg.stages.edits.splitting import nearer_to_new, points_of, sides_of
from samseg.superseded import is_current, superseded
from samseg.types import Bool, Float32, Int64, sample_rank_of

_SHARDS, _SHARDS_OF_FEW = 8, 64
"""Shards that exemplars are chosen from, of sides with enough masks there, and of others."""
_COLUMNS = ["mask_id", "class_id", "cell"]
_SHARE = 0.05
"""Of the masks of a class: a smaller branch consists of outliers."""


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """Two sides of a class.

    Attributes:
        version: of the codebook.
        kept: masks that stand for the larger side, which keeps the id.
        new: masks that stand for the other one.
        cells: (k,) bool, which cells of the codebook are nearer to the new side.
    """

    version: int
    kept: tuple[Exemplar, ...]
    new: tuple[Exemplar, ...]
    cells: Bool


@dataclass(frozen=True, slots=True)
class Side:
    """Masks of one side.

    Attributes:
        size: number of masks that they were chosen from.
        masks: those with the lowest ranks, up to `EXEMPLARS`.
    """

    size: int
    masks: tuple[Exemplar, ...]


class Exemplars(Protocol):
    """Where the masks that stand for the sides of a class come from."""

    def choose(self, class_id: int, is_second: Mapping[int, bool]) -> tuple[Side, Side]:
        """Choose masks of a class for two sides, given the side of each of its cells."""
        ...

    def points(self, masks: Sequence[Exemplar]) -> Float32:
        """Return masks as the codebook compares them, (n, d) unit rows."""
        ...


def divided_by_tree(
    codebook: Codebook, found: ResolvedClasses, class_id: int, exemplars: Exemplars
) -> Division:
    """Divide a class at the main join of its cells in the tree of the codebook; see `branch`.

    Raises:
        ConfigError: the codebook has no tree, or the class cannot be divided.
    """
    hierarchy, cells = _cells(codebook, found, class_id)
    kept, new, nearer = _divided(
        hierarchy, found, class_id, cells, branch(hierarchy, cells), exemplars
    )
    return Division(codebook.version, kept, new, nearer)


def divided_by_masks(
    output: Output,
    codebook: Codebook,
    found: ResolvedClasses,
    class_id: int,
    masks: Sequence[str],
    exemplars: Exemplars,
) -> Division:
    """Divide a class by two masks: a cell goes to the nearer one.

    Raises:
        ConfigError: these are not two masks, or all cells are nearer to one of them.
    """
    if len({*masks}) != 2:
        raise ConfigError(f"--by: got {len({*masks})} masks, wanted two, one for each side")
    hierarchy, cells = _cells(codebook, found, class_id)
    first, second = located(output, masks)
    nearer = sides_of(output, codebook, Split(class_id=class_id, kept=(first,), new=(second,)))
    kept, new, nearer = _divided(hierarchy, found, class_id, cells, nearer[cells], exemplars)
    return Division(codebook.version, kept, new, nearer)


def _cells(codebook: Codebook, found: ResolvedClasses, class_id: int) -> tuple[Hierarchy, Int64]:
    """Return the tree of a codebook and the cells of a class in it."""
    hierarchy = codebook.hierarchy
    if hierarchy is None:
        raise ConfigError(
            f"codebook v{codebook.version} was made by an earlier version, without a tree, and a "
            "split needs one. Run `samseg cluster -c CONFIG --refit`, or `move` single masks"
        )
    of_cells = codebook.node_classes[: hierarchy.tree.leaves]
    cells = np.flatnonzero(found.classes_of_cells(of_cells) == class_id)
    if len(cells) < 2:
        few = "one cell" if len(cells) else "no cell"
        raise ConfigError(
            f"{labelled(found, class_id)} has {few} of the codebook's tree and cannot be divided; "
            "`move` takes single masks out of it"
        )
    return hierarchy, cells


def branch(hierarchy: Hierarchy, cells: Int64) -> Bool:
    """Return which cells are below the smaller branch of a class's main join, (n,) bool.

    That is the highest join whose smaller branch has `_SHARE` of the masks. Joins above it take off
    a few outliers, as average linkage often does, and divide nothing that a person sees. Without
    such a join it is the one with the largest smaller branch. Cells of merged classes may meet
    above the cut: the branches are those of their own tree.
    """
    parent = hierarchy.tree.parent
    masks = np.zeros(len(parent), np.int64)
    masks[cells] = np.maximum(hierarchy.sizes[cells], 1)
    total = int(masks.sum())
    for node, above in enumerate(parent.tolist()):  # a parent follows its children
        if above >= 0:
            masks[above] += masks[node]
    node, smaller = int(np.flatnonzero(masks == total)[0]), -1
    while len(below := np.flatnonzero((parent == node) & (masks > 0))):
        below = below[np.argsort(masks[below], kind="stable")]
        node, first = int(below[-1]), int(below[0])
        if first != node and (smaller < 0 or masks[first] > masks[smaller]):
            smaller = first
            if masks[first] >= _SHARE * total:
                break
    inside = np.zeros(len(parent), np.bool_)
    inside[smaller] = True
    for node in range(smaller - 1, -1, -1):
        inside[node] = parent[node] >= 0 and inside[parent[node]]
    return inside[cells]


def _divided(
    hierarchy: Hierarchy,
    found: ResolvedClasses,
    class_id: int,
    cells: Int64,
    second: Bool,
    exemplars: Exemplars,
) -> tuple[tuple[Exemplar, ...], tuple[Exemplar, ...], Bool]:
    """Choose the masks of both sides, and divide the cells by them as any codebook will."""
    sides = exemplars.choose(class_id, dict(zip(cells.tolist(), second.tolist(), strict=True)))
    kept, new = sorted(sides, key=lambda side: -side.size)
    points = [exemplars.points(side.masks) for side in (kept, new)]
    nearer = nearer_to_new(hierarchy, *points)
    if not all(map(len, points)) or nearer[cells].all() or not nearer[cells].any():
        raise ConfigError(
            f"all masks of {labelled(found, class_id)} are on one side; choose other masks (--by), "
            "or `move` single masks"
        )
    return kept.masks, new.masks, nearer


@dataclass(frozen=True, slots=True)
class StoredExemplars:
    """Masks of the first shards with masks of the class, read from the tables.

    Attributes:
        output: the output folder.
        codebook: the codebook.
        found: the classes.
    """

    output: Output
    codebook: Codebook
    found: ResolvedClasses

    def choose(self, class_id: int, is_second: Mapping[int, bool]) -> tuple[Side, Side]:
        """See `Exemplars`."""
        again = superseded(self.output, self.output.committed())
        sizes = [0, 0]
        best: list[list[tuple[int, str, str]]] = [[], []]

        def of_shard(shard: str) -> list[tuple[str, bool]]:
            key = self.output.assignments_key(self.codebook.version, shard)
            table = self.output.read(key, _COLUMNS)
            kept = self.found.class_ids(table) == class_id
            kept &= is_current(table["mask_id"], again.get(shard, ()))
            ids, cells = (table[c].filter(pa.array(kept)).to_pylist() for c in ("mask_id", "cell"))
            pairs = zip(ids, cells, strict=True)
            return [(mask, is_second[cell]) for mask, cell in pairs if cell in is_second]

        shards = self._shards(is_second)
        with ThreadPoolExecutor(_SHARDS) as threads:
            for start in range(0, len(shards), _SHARDS):
                enough = all(len(side) == EXEMPLARS for side in best)
                if all(best) and (enough or start >= _SHARDS_OF_FEW):
                    break
                some = shards[start : start + _SHARDS]
                for shard, found in zip(some, threads.map(of_shard, some), strict=True):
                    for mask_id, side in found:
                        sizes[side] += 1
                        best[side].append((sample_rank_of(mask_id), mask_id, shard))
                best = [heapq.nsmallest(EXEMPLARS, side) for side in best]
        first, second = (
            Side(size, tuple(Exemplar(mask_id=mask, shard_id=shard) for _, mask, shard in side))
            for size, side in zip(sizes, best, strict=True)
        )
        return first, second

    def points(self, masks: Sequence[Exemplar]) -> Float32:
        """See `Exemplars`."""
        return points_of(self.output, self.codebook, masks)

    def _shards(self, cells: Iterable[int]) -> list[str]:
        """Return the shards that may have masks of some cells, by what the ledger says."""
        version = self.codebook.version
        committed = self.output.committed()
        sizes = self.output.sizes("assignments", version)
        sizes = {shard: size for shard, size in sizes.items() if shard in committed}
        rows = ledger.read(self.output, sizes, version, columns=["classes"])
        classes = rows["classes"].combine_chunks()
        wanted = pa.array(np.unique(self.codebook.node_classes[[*cells]]), pa.int32())
        has = pc.is_in(classes.flatten().field("class_id"), value_set=wanted)
        own = pc.unique(pc.list_parent_indices(classes).filter(has))
        without = {*rows["shard_id"].to_pylist()} - {*rows["shard_id"].take(own).to_pylist()}
        return sorted(sizes.keys() - without)
