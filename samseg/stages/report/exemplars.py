"""Which masks and images stand for the whole lake on a page.

One pass over narrow columns counts everything; a second reads embeddings and RLEs of a bounded
number of shards. Choices depend on ids alone, so the same tables give the same page. Image ids are
hashes, so the first by id are a fair draw.
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
"""Masks looked at per class; those far apart among them are shown."""

_FEW = 12
"""Candidates that a class should have, if need be from shards beyond the first."""

_SHARDS = 64
"""Shards whose embeddings are read at most."""

_IMAGE_CANDIDATES = 64
_FAILURES = 50
_GOOD = ("ok", "no_masks")


@dataclass(slots=True)
class LakeCounts:
    """What one pass over the tables counted and put aside.

    Attributes:
        images: images labelled.
        masks: masks on them.
        statuses: images per status, failures too.
        seconds: worker seconds per step, over all images.
        failures: (status, key, error) of the first images that failed.
        masks_of: masks per class, noise too.
        images_of: images on which a class occurs, noise too.
        candidates: per class, (nth of its image, mask id, shard) of masks from which exemplars are
            chosen, ascending; the medoid comes first of all.
        examples: (rank, image id, shard, classes on it) of the images with most to show.
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
class Shown:
    """One mask that was read to be shown.

    Attributes:
        mask_id: its id.
        image_id: its image.
        key: the image's name.
        uri: where the image can be fetched.
        class_id: its class, `NOISE`, or None before any clustering.
        area: px.
        rle: COCO compressed.
        embedding: (256,) float32, or None where there is none.
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
        version: the codebook to look through, None before the first.
        medoids: masks that are candidates wherever they are.
    """
    tally = LakeCounts()
    wanted = pa.array(sorted(medoids), pa.string())
    assigned = set() if version is None else output.assigned(version)
    for position, shard in enumerate(sorted(output.committed())):
        columns = ["image_id", "key", "status", "error", "masks", "seconds"]
        images = output.read(output.images_key(shard), columns)
        _count_images(tally, images)
        if version is not None and shard in assigned:
            key = output.assignments_key(version, shard)
            enough = _CANDIDATES if position < _SHARDS else _FEW
            rows = output.read(key, ["mask_id", "class_id"])
            _count_classes(tally, shard, rows, wanted, enough)
        else:
            for row in images.select(["image_id", "masks"]).to_pylist():
                _offer(tally, (0, row["masks"] or 0), row["image_id"], shard, frozenset())
    return tally


def examples(tally: LakeCounts, limit: int) -> dict[str, str]:
    """Choose images that together show most classes: image id -> shard, best first."""
    left = sorted(tally.examples, reverse=True)
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
    tally: LakeCounts,
    images: Mapping[str, str],
) -> tuple[dict[int, list[Shown]], dict[str, list[Shown]]]:
    """Read the candidates of every class and all masks of the example images.

    Args:
        output: the output folder.
        version: as given to `count`.
        tally: what `count` put aside.
        images: as chosen by `examples`.

    Returns:
        Class id -> its candidates, and image id -> its masks, in the order of `images`.
    """
    masks_in: dict[str, set[str]] = defaultdict(set)
    for found in tally.candidates.values():
        for _, mask_id, shard in found:
            masks_in[shard].add(mask_id)
    busiest = sorted(masks_in, key=lambda shard: (-len(masks_in[shard]), shard))[:_SHARDS]
    by_class: dict[int, list[Shown]] = defaultdict(list)
    by_image: dict[str, list[Shown]] = defaultdict(list)
    columns = ["mask_id", "image_id", "image_uri", "area", "rle", "embedding"]
    for shard in sorted({*busiest, *images.values()}):
        table = output.read(output.masks_key(shard), columns)
        candidates = masks_in[shard] if shard in busiest else set()
        keep = pc.or_(
            pc.is_in(table["mask_id"], value_set=pa.array(sorted(candidates), pa.string())),
            pc.is_in(table["image_id"], value_set=pa.array(sorted(images), pa.string())),
        )
        named = output.read(output.images_key(shard), ["image_id", "key"])
        key_of = dict(zip(*(named[c].to_pylist() for c in named.column_names), strict=True))
        class_of = _classes(output, version, shard)
        for shown in _shown(table.filter(keep), key_of, class_of):
            if shown.mask_id in candidates and shown.class_id is not None:
                by_class[shown.class_id].append(shown)
            if shown.image_id in images:
                by_image[shown.image_id].append(shown)
    return by_class, {i: by_image[i] for i in images if by_image[i]}


def spread(candidates: Sequence[Shown], first: str | None, limit: int) -> list[Shown]:
    """Choose masks that show how much a class varies: one, then each time the farthest.

    Args:
        candidates: masks of one class.
        first: the mask to begin with (the medoid), if it is among them.
        limit: masks to choose.
    """
    usable = sorted((c for c in candidates if c.embedding is not None), key=lambda c: c.mask_id)
    if not usable:
        return list(candidates[:limit])
    points = np.stack([c.embedding for c in usable if c.embedding is not None])
    points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    begin = next((i for i, c in enumerate(usable) if c.mask_id == first), None)
    if begin is None:
        begin = int((points @ points.mean(axis=0)).argmax())
    chosen = [begin]
    nearest = points @ points[begin]
    while len(chosen) < min(limit, len(usable)):
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, points @ points[chosen[-1]])
    return [usable[i] for i in chosen]


def _count_images(tally: LakeCounts, images: pa.Table) -> None:
    statuses = images["status"].to_pylist()
    tally.statuses.update(statuses)
    tally.images += sum(s in _GOOD for s in statuses)
    tally.masks += pc.sum(images["masks"]).as_py() or 0
    for step in images.schema.field("seconds").type:
        spent = pc.sum(pc.struct_field(images["seconds"], step.name)).as_py()
        tally.seconds[step.name] = tally.seconds.get(step.name, 0.0) + (spent or 0.0)
    room = _FAILURES - len(tally.failures)
    if room > 0:
        bad = pc.invert(pc.is_in(images["status"], value_set=pa.array(_GOOD)))
        for row in images.filter(bad).slice(0, room).to_pylist():
            tally.failures.append((row["status"], row["key"], row["error"] or ""))


def _count_classes(
    tally: LakeCounts, shard: str, rows: pa.Table, medoids: pa.Array, enough: int
) -> None:
    """Count one shard; a class that has `enough` candidates takes none but its medoid from it."""
    mask_ids = rows["mask_id"].combine_chunks()
    owners = pc.replace_substring_regex(mask_ids, pattern="-[0-9]+$", replacement="")
    image_ids, image = np.unique(owners.to_numpy(zero_copy_only=False), return_inverse=True)
    classes = rows["class_id"].to_numpy()
    order = np.lexsort((image, classes))
    classes, image = classes[order], image[order]
    is_medoid = pc.is_in(mask_ids, value_set=medoids).to_numpy(zero_copy_only=False)[order]
    on_image: dict[int, set[int]] = defaultdict(set)
    for class_id in np.unique(classes).tolist():
        start, end = np.searchsorted(classes, [class_id, class_id + 1])
        here, counts = np.unique(image[start:end], return_counts=True)
        tally.masks_of[class_id] += int(end - start)
        tally.images_of[class_id] += len(here)
        if class_id != NOISE:
            for i in here:
                on_image[int(i)].add(class_id)
        nth = np.arange(end - start) - np.repeat(np.cumsum(counts) - counts, counts)
        nth[is_medoid[start:end]] = -1
        known = tally.candidates.setdefault(class_id, [])
        few = len(known) < enough or enough == _CANDIDATES
        picked = np.argsort(nth, kind="stable")[: _CANDIDATES if few else int((nth < 0).sum())]
        ids = mask_ids.take(pa.array(order[start:end][picked])).to_pylist()
        new = zip(nth[picked].tolist(), ids, [shard] * len(ids), strict=True)
        tally.candidates[class_id] = heapq.nsmallest(_CANDIDATES, [*known, *new])
    masks_on = np.bincount(image[classes != NOISE], minlength=len(image_ids))
    for i, found in on_image.items():
        _offer(tally, (len(found), int(masks_on[i])), str(image_ids[i]), shard, frozenset(found))


def _offer(
    tally: LakeCounts, rank: tuple[int, int], image_id: str, shard: str, classes: frozenset[int]
) -> None:
    """Keep an image among the best by rank."""
    if rank[1]:
        heapq.heappush(tally.examples, (rank, image_id, shard, classes))
        if len(tally.examples) > _IMAGE_CANDIDATES:
            heapq.heappop(tally.examples)


def _classes(output: Output, version: int | None, shard: str) -> dict[str, int]:
    if version is None or not output.storage.exists(output.assignments_key(version, shard)):
        return {}
    rows = output.read(output.assignments_key(version, shard), ["mask_id", "class_id"])
    return dict(zip(rows["mask_id"].to_pylist(), rows["class_id"].to_pylist(), strict=True))


def _shown(
    table: pa.Table, key_of: Mapping[str, str], class_of: Mapping[str, int]
) -> Iterable[Shown]:
    has = pc.is_valid(table["embedding"])
    vectors = iter(schema.matrix_of(table["embedding"].filter(has)))
    rows = table.drop_columns(["embedding"]).to_pylist()
    for row, valid in zip(rows, has.to_pylist(), strict=True):
        yield Shown(
            mask_id=row["mask_id"],
            image_id=row["image_id"],
            key=key_of.get(row["image_id"], row["image_id"]),
            uri=row["image_uri"],
            class_id=class_of.get(row["mask_id"]),
            area=row["area"],
            rle=row["rle"],
            embedding=next(vectors) if valid else None,
        )
