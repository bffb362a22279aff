"""Chooses the masks and images that represent the lake on the report page.

Embeddings and RLEs of a bounded number of shards are read. The choice depends on ids alone, so the
same tables yield the same page.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import schema
from samseg.edits.resolved import ResolvedClasses
from samseg.masks.distinct import distinct
from samseg.output import Output
from samseg.schema import SAM_COLUMN
from samseg.stages.edits.outlines import outlines_in
from samseg.stages.edits.shard_classes import classes_in
from samseg.stages.embeddings import read_embeddings
from samseg.stages.report.counts import SHARDS, LakeCounts
from samseg.types import Float32


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
        embedding: (d,) float32, or None if the mask has none.
    """

    mask_id: str
    image_id: str
    key: str
    uri: str
    class_id: int | None
    area: int
    rle: Mapping[str, Any]
    embedding: Float32 | None


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
    embedding: str,
) -> tuple[dict[int, list[ShownMask]], dict[str, list[ShownMask]]]:
    """Read the candidates of every class and all masks of the example images.

    Args:
        output: the output folder.
        version: the codebook whose classes the masks have, None if there is none.
        counts: of the folder.
        images: result of `examples`.
        embedding: name of the one to read for the candidates.

    Returns:
        Class id -> its candidates, and image id -> its masks, in the order of `images`.
    """
    masks_in: dict[str, set[str]] = defaultdict(set)
    for candidates in counts.candidates.values():
        for _, mask_id, shard in candidates:
            masks_in[shard].add(mask_id)
    fullest = sorted(masks_in, key=lambda shard: (-len(masks_in[shard]), shard))[:SHARDS]
    by_class: dict[int, list[ShownMask]] = defaultdict(list)
    by_image: dict[str, list[ShownMask]] = defaultdict(list)
    for shard in sorted({*fullest, *images.values()}):
        wanted = masks_in[shard] if shard in fullest else set()
        vectors = _vectors(output, shard, embedding, wanted)
        of_shard = _shown_masks(output, version, shard, counts.resolved, wanted, images, vectors)
        for mask in of_shard:
            if mask.mask_id in wanted and mask.class_id is not None:
                by_class[mask.class_id].append(mask)
            if mask.image_id in images:
                by_image[mask.image_id].append(mask)
    return by_class, {i: by_image[i] for i in images if by_image[i]}


def spread(candidates: Sequence[ShownMask], first: str | None, limit: int) -> list[ShownMask]:
    """Choose masks that show what a class is and how it varies.

    The first half is chosen among the half of the candidates that is nearest to their mean, the
    rest among all, both by farthest-point sampling.

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
    to_mean = points @ points.mean(axis=0)
    start = next((i for i, c in enumerate(usable) if c.mask_id == first), int(to_mean.argmax()))
    chosen = [start]
    nearest = points @ points[start]
    typical = to_mean >= np.median(to_mean)
    for among, count in ((typical, limit // 2), (np.ones_like(typical), limit)):
        while len(chosen) < min(count, int(among.sum())):
            nearest[chosen] = np.inf
            chosen.append(int(np.where(among, nearest, np.inf).argmin()))
            nearest = np.maximum(nearest, points @ points[chosen[-1]])
    return [usable[i] for i in chosen]


def distinct_masks(masks: Iterable[ShownMask], preferred: str | None = None) -> list[ShownMask]:
    """Leave out masks of an object that another mask of the same image shows.

    Args:
        masks: the first one of an object is kept.
        preferred: id of a mask that comes before the others.
    """
    by_image: dict[str, list[ShownMask]] = defaultdict(list)
    for mask in sorted(masks, key=lambda mask: mask.mask_id != preferred):
        by_image[mask.image_id].append(mask)
    return [its[i] for its in by_image.values() for i in distinct([mask.rle for mask in its])]


def read_masks(
    output: Output,
    version: int | None,
    found: ResolvedClasses | None,
    shard_of: Mapping[str, str],
) -> Iterator[ShownMask]:
    """Read some masks, without their embeddings; those that are gone are left out.

    Args:
        output: the output folder.
        version: the codebook whose classes the masks have, None if there is none.
        found: these classes after all edits.
        shard_of: mask id -> the shard that has its row.
    """
    for shard in sorted(set(shard_of.values())):
        if output.storage.exists(output.masks_key(shard)):
            wanted = {mask for mask, of in shard_of.items() if of == shard}
            yield from _shown_masks(output, version, shard, found, wanted, ())


def _classes(
    output: Output, version: int | None, shard: str, found: ResolvedClasses | None
) -> dict[str, int]:
    if version is None or found is None:
        return {}
    if not output.storage.exists(output.assignments_key(version, shard)):
        return {}
    ids, classes = classes_in(output, version, shard, found)
    return dict(zip(ids.to_pylist(), classes.tolist(), strict=True))


def _vectors(output: Output, shard: str, name: str, wanted: Iterable[str]) -> dict[str, Float32]:
    """Return the embedding of each of these masks that has one."""
    ids = pa.array(sorted(wanted), pa.string())
    named = output.embeddings_key(name, shard)
    if not len(ids) or (name != SAM_COLUMN and not output.storage.exists(named)):
        return {}
    table = read_embeddings(output, shard, name, ["mask_id", "embedding"])
    present = pc.and_(pc.is_in(table["mask_id"], value_set=ids), pc.is_valid(table["embedding"]))
    table = table.filter(present)
    return dict(
        zip(table["mask_id"].to_pylist(), schema.matrix_of(table["embedding"]), strict=True)
    )


def _shown_masks(
    output: Output,
    version: int | None,
    shard: str,
    found: ResolvedClasses | None,
    wanted: Iterable[str],
    images: Iterable[str],
    vectors: Mapping[str, Float32] | None = None,
) -> Iterator[ShownMask]:
    """Yield the wanted masks of one shard, and all masks of some images."""
    columns = ["mask_id", "image_id", "image_uri", "area", "rle"]
    table = output.read(output.masks_key(shard), columns)
    keep = pc.or_(
        pc.is_in(table["mask_id"], value_set=pa.array(sorted(wanted), pa.string())),
        pc.is_in(table["image_id"], value_set=pa.array(sorted(images), pa.string())),
    )
    named = output.read(output.images_key(shard), ["image_id", "key"])
    key_of = dict(zip(*(named[c].to_pylist() for c in named.column_names), strict=True))
    class_of = _classes(output, version, shard, found)
    table = table.filter(keep)
    drawn = {} if found is None else outlines_in(output, found, table["mask_id"])
    for row in table.to_pylist():
        row |= drawn.get(row["mask_id"], {})
        yield ShownMask(
            mask_id=row["mask_id"],
            image_id=row["image_id"],
            key=key_of.get(row["image_id"], row["image_id"]),
            uri=row["image_uri"],
            class_id=class_of.get(row["mask_id"]),
            area=row["area"],
            rle=row["rle"],
            embedding=(vectors or {}).get(row["mask_id"]),
        )
