"""What the report page counts, and the masks and images among which it chooses what to show.

The counts come from the ledgers. Candidates come from a bounded number of shards: the first ones,
and for classes that have too few masks there, some that the ledger names. Shard and image ids are
hashes, so the first ones in order are an unbiased sample.
"""

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg.class_counts import ClassCounts
from samseg.edits.resolved import ResolvedClasses
from samseg.engine.local import Local
from samseg.engine.protocol import Engine
from samseg.ledger import ImageCounts, image_counts
from samseg.output import Output
from samseg.stages.edits.current_counts import current_counts
from samseg.stages.edits.resolution import resolved
from samseg.stages.edits.shard_classes import classes_in
from samseg.stages.tally import require_no, tally
from samseg.superseded import Replanned, is_current
from samseg.types import IGNORED, LABELLED, NOISE

SHARDS = 64
"""Maximum number of shards whose embeddings are read to choose exemplars."""

_CLASSES = 128
"""Classes that candidates are collected for, largest first; the page shows masks of fewer."""

_CANDIDATES = 40
"""Candidate masks per class; those farthest apart are shown."""

_MIN_CANDIDATES = 12
"""Candidates per class to collect from shards after the first `SHARDS`."""

_IMAGE_CANDIDATES = 64
_FAILURES = 50
_READS_AT_A_TIME = 16

Superseded = Mapping[str, Collection[str]]


@dataclass(slots=True)
class LakeCounts:
    """Counts of the lake, and candidates.

    Attributes:
        images: what is in `images` and `masks`.
        classes: the masks of each class after all edits; nothing without a codebook.
        resolved: these classes.
        failures: (status, key, error) of the first images that failed.
        candidates: per class, (rank within its image, mask id, shard) of masks from which exemplars
            are chosen, ascending; the medoid has rank -1 and comes first.
        examples: (rank, image id, shard, classes) of the images with the most classes and masks, a
            heap.
        shards: the committed shards, in the order of their ids.
        again: ids of images of shards that were labelled again.
    """

    images: ImageCounts = field(default_factory=ImageCounts)
    classes: ClassCounts = field(default_factory=ClassCounts)
    resolved: ResolvedClasses | None = None
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    candidates: dict[int, list[tuple[int, str, str]]] = field(default_factory=dict)
    examples: list[tuple[tuple[int, int], str, str, frozenset[int]]] = field(default_factory=list)
    shards: Sequence[str] = ()
    again: Superseded = field(default_factory=dict)


def count(
    output: Output, version: int | None, medoids: Iterable[str], engine: Engine | None = None
) -> LakeCounts:
    """Count the lake and collect candidates.

    Args:
        output: the output folder.
        version: the codebook whose assignments are counted, None if there is none.
        medoids: masks that are candidates if their shard is read.
        engine: counts the shards that are in no ledger; None for this process.

    Raises:
        StorageError: a part cannot be read.
    """
    engine = engine or Local()
    sizes, replanned = output.sizes("images"), Replanned(output)
    again: Superseded = replanned.superseded(set(sizes))
    tallied = tally(output, engine, write=False, sizes=sizes, replanned=replanned)
    require_no(tallied.problems)
    counts, found = LakeCounts(image_counts(tallied.rows)), resolved(output, version)
    counts.resolved = found
    assigned: set[str] = set()
    if version is not None:
        counts.classes = current_counts(output, version, engine, tallied.rows, found)
        assigned = output.assigned(version)
    counts.failures = _failures(output, counts.images.failed_in, again)
    medoid_ids = pa.array(sorted(medoids), pa.string())
    shards = sorted(tallied.rows["shard_id"].unique().to_pylist())
    counts.shards, counts.again = shards, again
    for shard in shards[:SHARDS]:
        if version is not None and shard in assigned:
            rows = _assignments(output, version, shard, again, found)
            _add_candidates(counts, shard, rows, medoid_ids, _CANDIDATES)
        else:
            columns = output.read(output.images_key(shard), ["image_id", "masks"])
            columns = columns.filter(
                pa.array(is_current(columns["image_id"], again.get(shard, ())))
            )
            for row in columns.to_pylist():
                _add_example(counts, (0, row["masks"] or 0), row["image_id"], shard, frozenset())
    if version is not None:
        for shard in _further(counts, shards[:SHARDS]):
            rows = _assignments(output, version, shard, again, found)
            _add_candidates(counts, shard, rows, medoid_ids, _MIN_CANDIDATES)
    return counts


def _assignments(
    output: Output, version: int, shard: str, again: Superseded, found: ResolvedClasses
) -> pa.Table:
    """Return `mask_id` and `class_id` of a shard, with classes after all edits."""
    ids, classes = classes_in(output, version, shard, found)
    rows = pa.table([ids, pa.array(classes)], ["mask_id", "class_id"])
    kept = is_current(ids, again.get(shard, ())) & (classes != IGNORED)
    return rows.filter(pa.array(kept))


def _further(counts: LakeCounts, read: Collection[str]) -> list[str]:
    """Return shards with masks of classes that have few candidates yet, at most `SHARDS`."""
    wanted: dict[str, None] = {}
    for class_id, _ in counts.classes.masks_of.most_common(_CLASSES):
        if len(counts.candidates.get(class_id, ())) < _MIN_CANDIDATES:
            wanted |= dict.fromkeys(
                shard for shard in counts.classes.shards_of[class_id] if shard not in read
            )
    return list(wanted)[:SHARDS]


def _failures(
    output: Output, shards: Iterable[str], again: Superseded
) -> list[tuple[str, str, str]]:
    """Return status, key and error of the first images that failed, in the order of shards."""

    def failed(shard: str) -> list[tuple[str, str, str]]:
        images = output.read(output.images_key(shard), ["image_id", "key", "status", "error"])
        bad = pc.invert(pc.is_in(images["status"], value_set=pa.array(LABELLED))).to_numpy()
        rows = images.filter(pa.array(bad & is_current(images["image_id"], again.get(shard, ()))))
        return [(r["status"], r["key"], r["error"] or "") for r in rows.to_pylist()]

    with ThreadPoolExecutor(_READS_AT_A_TIME) as threads:
        return [row for rows in threads.map(failed, shards) for row in rows][:_FAILURES]


def _add_candidates(
    counts: LakeCounts, shard: str, rows: pa.Table, medoids: pa.Array, limit: int
) -> None:
    """Add those of one shard; a class with `limit` candidates takes only its medoid from it."""
    mask_ids = rows["mask_id"].combine_chunks()
    image_of_mask = pc.replace_substring_regex(mask_ids, pattern="-[0-9]+$", replacement="")
    image_ids, image = np.unique(image_of_mask.to_numpy(zero_copy_only=False), return_inverse=True)
    classes = rows["class_id"].to_numpy()
    order = np.lexsort((image, classes))
    classes, image = classes[order], image[order]
    is_medoid = pc.is_in(mask_ids, value_set=medoids).to_numpy(zero_copy_only=False)[order]
    classes_on: dict[int, set[int]] = defaultdict(set)
    for class_id in np.unique(classes).tolist():
        start, end = np.searchsorted(classes, [class_id, class_id + 1])
        its_images, masks_per_image = np.unique(image[start:end], return_counts=True)
        if class_id != NOISE:
            for i in its_images:
                classes_on[int(i)].add(class_id)
        first = np.cumsum(masks_per_image) - masks_per_image
        rank = np.arange(end - start) - np.repeat(first, masks_per_image)
        rank[is_medoid[start:end]] = -1
        known = counts.candidates.setdefault(class_id, [])
        full = len(known) >= limit and limit != _CANDIDATES
        take = int((rank < 0).sum()) if full else _CANDIDATES
        picked = np.argsort(rank, kind="stable")[:take]
        ids = mask_ids.take(pa.array(order[start:end][picked])).to_pylist()
        new = zip(rank[picked].tolist(), ids, [shard] * len(ids), strict=True)
        counts.candidates[class_id] = heapq.nsmallest(_CANDIDATES, [*known, *new])
    masks_on = np.bincount(image[classes != NOISE], minlength=len(image_ids))
    for i, on_it in classes_on.items():
        image_rank = (len(on_it), int(masks_on[i]))
        _add_example(counts, image_rank, str(image_ids[i]), shard, frozenset(on_it))


def _add_example(
    counts: LakeCounts, rank: tuple[int, int], image_id: str, shard: str, classes: frozenset[int]
) -> None:
    """Add an image that has masks, and keep the `_IMAGE_CANDIDATES` of highest rank."""
    if rank[1]:
        heapq.heappush(counts.examples, (rank, image_id, shard, classes))
        if len(counts.examples) > _IMAGE_CANDIDATES:
            heapq.heappop(counts.examples)
