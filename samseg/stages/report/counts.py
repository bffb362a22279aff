"""Counts the masks, classes and failures of a lake for the report page, in one pass.

Only narrow columns are read, those of every committed shard. The same pass collects the candidates
among which exemplars are chosen. Image ids are hashes, so the first ones in order are an unbiased
sample.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg.output import Output
from samseg.superseded import is_current, superseded
from samseg.types import LABELLED, NOISE

SHARDS = 64
"""Maximum number of shards whose embeddings are read to choose exemplars."""

_CANDIDATES = 40
"""Candidate masks per class; those farthest apart are shown."""

_MIN_CANDIDATES = 12
"""Candidates per class to collect from shards after the first `SHARDS`."""

CLEAR = 1.5
"""A mask is clearly of its class if the next class is at least this many times as far. In classes
of the true segments of 100 photos, those clearly of their class have the label that most of its
masks have in 60 % (coco_panoptic), 69 % (ccp) and 93 % (rural_streets) of the cases; the others in
29, 48 and 94 %."""

_IMAGE_CANDIDATES = 64
_FAILURES = 50


@dataclass(slots=True)
class LakeCounts:
    """Counts and candidates from one pass over the tables.

    Attributes:
        images: labelled images.
        masks: their masks.
        statuses: images per status, including failures.
        seconds: worker seconds per step, over all images.
        failures: (status, key, error) of the first images that failed.
        masks_of: masks per class, including noise.
        images_of: images with masks of a class, including noise.
        clear_of: masks that are clearly of their class (`CLEAR`), per class; a class that is the
            only one has no entry.
        candidates: per class, (rank within its image, mask id, shard) of masks from which exemplars
            are chosen, ascending; the medoid has rank -1 and comes first.
        examples: (rank, image id, shard, classes) of the images with the most classes and masks, a
            heap.
    """

    images: int = 0
    masks: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    masks_of: Counter[int] = field(default_factory=Counter)
    images_of: Counter[int] = field(default_factory=Counter)
    clear_of: Counter[int] = field(default_factory=Counter)
    candidates: dict[int, list[tuple[int, str, str]]] = field(default_factory=dict)
    examples: list[tuple[tuple[int, int], str, str, frozenset[int]]] = field(default_factory=list)


def count(output: Output, version: int | None, medoids: Iterable[str]) -> LakeCounts:
    """Read the narrow columns of every committed shard once.

    Args:
        output: the output folder.
        version: the codebook whose assignments are counted, None if there is none.
        medoids: masks that are candidates regardless of their shard.
    """
    counts = LakeCounts()
    medoid_ids = pa.array(sorted(medoids), pa.string())
    assigned = set() if version is None else output.assigned(version)
    committed = output.committed()
    again = superseded(output, committed)
    for position, shard in enumerate(sorted(committed)):
        columns = ["image_id", "key", "status", "error", "masks", "seconds"]
        images = output.read(output.images_key(shard), columns)
        elsewhere = again.get(shard, ())
        images = images.filter(pa.array(is_current(images["image_id"], elsewhere)))
        _count_images(counts, images)
        if version is not None and shard in assigned:
            key = output.assignments_key(version, shard)
            limit = _CANDIDATES if position < SHARDS else _MIN_CANDIDATES
            rows = output.read(key, ["mask_id", "class_id", "distance", "margin"])
            rows = rows.filter(pa.array(is_current(rows["mask_id"], elsewhere)))
            _count_classes(counts, shard, rows, medoid_ids, limit)
        else:
            for row in images.select(["image_id", "masks"]).to_pylist():
                _add_example(counts, (0, row["masks"] or 0), row["image_id"], shard, frozenset())
    return counts


def _count_images(counts: LakeCounts, images: pa.Table) -> None:
    statuses = images["status"].to_pylist()
    counts.statuses.update(statuses)
    counts.images += sum(s in LABELLED for s in statuses)
    counts.masks += pc.sum(images["masks"]).as_py() or 0
    for step in images.schema.field("seconds").type:
        spent = pc.sum(pc.struct_field(images["seconds"], step.name)).as_py()
        counts.seconds[step.name] = counts.seconds.get(step.name, 0.0) + (spent or 0.0)
    room = _FAILURES - len(counts.failures)
    if room > 0:
        failed = pc.invert(pc.is_in(images["status"], value_set=pa.array(LABELLED)))
        for row in images.filter(failed).slice(0, room).to_pylist():
            counts.failures.append((row["status"], row["key"], row["error"] or ""))


def _count_classes(
    counts: LakeCounts, shard: str, rows: pa.Table, medoids: pa.Array, limit: int
) -> None:
    """Count one shard; a class with `limit` candidates takes only its medoid from this shard."""
    mask_ids = rows["mask_id"].combine_chunks()
    image_of_mask = pc.replace_substring_regex(mask_ids, pattern="-[0-9]+$", replacement="")
    image_ids, image = np.unique(image_of_mask.to_numpy(zero_copy_only=False), return_inverse=True)
    classes = rows["class_id"].to_numpy()
    order = np.lexsort((image, classes))
    classes, image = classes[order], image[order]
    is_medoid = pc.is_in(mask_ids, value_set=medoids).to_numpy(zero_copy_only=False)[order]
    distance, margin = (rows[c].to_numpy()[order] for c in ("distance", "margin"))
    clear = margin >= (CLEAR - 1) * distance
    classes_on: dict[int, set[int]] = defaultdict(set)
    for class_id in np.unique(classes).tolist():
        start, end = np.searchsorted(classes, [class_id, class_id + 1])
        its_images, masks_per_image = np.unique(image[start:end], return_counts=True)
        counts.masks_of[class_id] += int(end - start)
        counts.images_of[class_id] += len(its_images)
        if class_id != NOISE:
            for i in its_images:
                classes_on[int(i)].add(class_id)
            if not np.isnan(margin[start:end]).all():
                counts.clear_of[class_id] += int(clear[start:end].sum())
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
