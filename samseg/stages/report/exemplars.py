"""Chooses the masks and images that represent the lake on the report page.

One pass over narrow columns counts everything; a second reads embeddings and RLEs of a bounded
number of shards. The choice depends on ids alone, so the same tables yield the same page. Image ids
are hashes, so the first ones in order are an unbiased sample.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import schema
from samseg.output import Output
from samseg.types import NOISE, Float32

_CANDIDATES = 40
"""Candidate masks per class; those farthest apart are shown."""

_MIN_CANDIDATES = 12
"""Candidates per class to collect from shards after the first `_SHARDS`."""

_SHARDS = 64
"""Maximum number of shards whose embeddings are read."""

_IMAGE_CANDIDATES = 64
_FAILURES = 50
_LABELLED = ("ok", "no_masks")


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
    candidates: dict[int, list[tuple[int, str, str]]] = field(default_factory=dict)
    examples: list[tuple[tuple[int, int], str, str, frozenset[int]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class ShownMask:
    """One mask read for display.

    Attributes:
        mask_id: its id.
        image_id: id of its image.
        key: the image's key in the lake.
        uri: where to fetch the image.
        class_id: its class, `NOISE`, or None if it has no assignment.
        area: px.
        rle: COCO compressed RLE.
        embedding: (256,) float32, or None if the mask has none.
    """

    mask_id: str
    image_id: str
    key: str
    uri: str
    class_id: int | None
    area: int
    rle: Mapping[str, Any]
    embedding: Float32 | None


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
    for position, shard in enumerate(sorted(output.committed())):
        columns = ["image_id", "key", "status", "error", "masks", "seconds"]
        images = output.read(output.images_key(shard), columns)
        _count_images(counts, images)
        if version is not None and shard in assigned:
            key = output.assignments_key(version, shard)
            limit = _CANDIDATES if position < _SHARDS else _MIN_CANDIDATES
            rows = output.read(key, ["mask_id", "class_id"])
            _count_classes(counts, shard, rows, medoid_ids, limit)
        else:
            for row in images.select(["image_id", "masks"]).to_pylist():
                _add_example(counts, (0, row["masks"] or 0), row["image_id"], shard, frozenset())
    return counts


def examples(counts: LakeCounts, limit: int) -> dict[str, str]:
    """Choose images that together cover the most classes: image id -> shard, best first."""
    left = sorted(counts.examples, reverse=True)
    seen: set[int] = set()
    chosen: dict[str, str] = {}
    while left and len(chosen) < limit:
        best = max(left, key=lambda e: (len(e[3] - seen), e[0], e[1]))
        left.remove(best)
        seen |= best[3]
        chosen[best[1]] = best[2]
    return chosen


def read(
    output: Output,
    version: int | None,
    counts: LakeCounts,
    images: Mapping[str, str],
) -> tuple[dict[int, list[ShownMask]], dict[str, list[ShownMask]]]:
    """Read the candidates of every class and all masks of the example images.

    Args:
        output: the output folder.
        version: as for `count`.
        counts: result of `count`.
        images: result of `examples`.

    Returns:
        Class id -> its candidates, and image id -> its masks, in the order of `images`.
    """
    masks_in: dict[str, set[str]] = defaultdict(set)
    for candidates in counts.candidates.values():
        for _, mask_id, shard in candidates:
            masks_in[shard].add(mask_id)
    fullest = sorted(masks_in, key=lambda shard: (-len(masks_in[shard]), shard))[:_SHARDS]
    by_class: dict[int, list[ShownMask]] = defaultdict(list)
    by_image: dict[str, list[ShownMask]] = defaultdict(list)
    columns = ["mask_id", "image_id", "image_uri", "area", "rle", "embedding"]
    for shard in sorted({*fullest, *images.values()}):
        table = output.read(output.masks_key(shard), columns)
        wanted = masks_in[shard] if shard in fullest else set()
        keep = pc.or_(
            pc.is_in(table["mask_id"], value_set=pa.array(sorted(wanted), pa.string())),
            pc.is_in(table["image_id"], value_set=pa.array(sorted(images), pa.string())),
        )
        named = output.read(output.images_key(shard), ["image_id", "key"])
        key_of = dict(zip(*(named[c].to_pylist() for c in named.column_names), strict=True))
        class_of = _classes(output, version, shard)
        for mask in _shown_masks(table.filter(keep), key_of, class_of):
            if mask.mask_id in wanted and mask.class_id is not None:
                by_class[mask.class_id].append(mask)
            if mask.image_id in images:
                by_image[mask.image_id].append(mask)
    return by_class, {i: by_image[i] for i in images if by_image[i]}


def spread(candidates: Sequence[ShownMask], first: str | None, limit: int) -> list[ShownMask]:
    """Choose masks that show the variation of a class, by farthest-point sampling.

    Args:
        candidates: masks of one class.
        first: the mask to start from (the medoid), if it is a candidate; otherwise the one nearest
            to the mean.
        limit: maximum number of masks.
    """
    usable = sorted((c for c in candidates if c.embedding is not None), key=lambda c: c.mask_id)
    if not usable:
        return list(candidates[:limit])
    points = np.stack([c.embedding for c in usable if c.embedding is not None])
    points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    start = next((i for i, c in enumerate(usable) if c.mask_id == first), None)
    if start is None:
        start = int((points @ points.mean(axis=0)).argmax())
    chosen = [start]
    nearest = points @ points[start]
    while len(chosen) < min(limit, len(usable)):
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, points @ points[chosen[-1]])
    return [usable[i] for i in chosen]


def _count_images(counts: LakeCounts, images: pa.Table) -> None:
    statuses = images["status"].to_pylist()
    counts.statuses.update(statuses)
    counts.images += sum(s in _LABELLED for s in statuses)
    counts.masks += pc.sum(images["masks"]).as_py() or 0
    for step in images.schema.field("seconds").type:
        spent = pc.sum(pc.struct_field(images["seconds"], step.name)).as_py()
        counts.seconds[step.name] = counts.seconds.get(step.name, 0.0) + (spent or 0.0)
    room = _FAILURES - len(counts.failures)
    if room > 0:
        failed = pc.invert(pc.is_in(images["status"], value_set=pa.array(_LABELLED)))
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
    classes_on: dict[int, set[int]] = defaultdict(set)
    for class_id in np.unique(classes).tolist():
        start, end = np.searchsorted(classes, [class_id, class_id + 1])
        its_images, masks_per_image = np.unique(image[start:end], return_counts=True)
        counts.masks_of[class_id] += int(end - start)
        counts.images_of[class_id] += len(its_images)
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


def _classes(output: Output, version: int | None, shard: str) -> dict[str, int]:
    if version is None or not output.storage.exists(output.assignments_key(version, shard)):
        return {}
    rows = output.read(output.assignments_key(version, shard), ["mask_id", "class_id"])
    return dict(zip(rows["mask_id"].to_pylist(), rows["class_id"].to_pylist(), strict=True))


def _shown_masks(
    table: pa.Table, key_of: Mapping[str, str], class_of: Mapping[str, int]
) -> Iterable[ShownMask]:
    present = pc.is_valid(table["embedding"])
    vectors = iter(schema.matrix_of(table["embedding"].filter(present)))
    rows = table.drop_columns(["embedding"]).to_pylist()
    for row, valid in zip(rows, present.to_pylist(), strict=True):
        yield ShownMask(
            mask_id=row["mask_id"],
            image_id=row["image_id"],
            key=key_of.get(row["image_id"], row["image_id"]),
            uri=row["image_uri"],
            class_id=class_of.get(row["mask_id"]),
            area=row["area"],
            rle=row["rle"],
            embedding=next(vectors) if valid else None,
        )
