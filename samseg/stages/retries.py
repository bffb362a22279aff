"""Images to label again: failed ones, once by themselves or on request, and repaired files.

A retry is a planned shard, so it is committed, resumed and given up like any other. Its rows of the
plan name the shard with the failed rows, which do not count any more once it is committed
(`samseg.superseded`).
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from samseg.output import Output
from samseg.plan_rows import shards_of
from samseg.readers import Reader
from samseg.superseded import Replanned, images_in
from samseg.types import LABELLED, RETRIED_ONCE, Shard, Source

_READS_AT_A_TIME = 16
_DAMAGE = re.compile("#(truncated|[0-9]+)$")
"""End of the key of a row that stands for a tar, or a range of one (`Source.damage_key`)."""

Failed = Mapping[str, set[str]]
"""Shard -> keys of its images that are to be labelled again."""


def retries(
    output: Output, reader: Reader, statuses: Collection[str], replaced: Sequence[Source]
) -> list[Shard]:
    """Return shards of the images to label again.

    Args:
        output: the output folder.
        reader: groups the images.
        statuses: images of these statuses are labelled again. Those of `RETRIED_ONCE` are in any
            case, once. With `statuses`, the status column of every images part is read.
        replaced: planned objects that have another version now. Their failed images, of any
            status, are labelled again.
    """
    committed, replanned = output.committed(), Replanned(output)
    planned: dict[str, set[str] | None] = defaultdict(set)  # by shard: image ids, or a whole tar
    for row in replanned.retries:
        known = planned[row["retry_of"]]
        if row["images"] is None or known is None:
            planned[row["retry_of"]] = None
        else:
            known |= images_in(row["key"], row["members"])
    newer = {source.key: source for source in replaced}
    suspects = {shard: set(RETRIED_ONCE) for shard in output.failed() & committed}
    if statuses:
        for shard in committed:
            suspects.setdefault(shard, set()).update(statuses)
    of_replaced = _shards_of(output, newer) & committed
    elsewhere = replanned.superseded(committed)

    def failed_in(shard: str) -> set[str]:
        wanted, done = suspects.get(shard, set()), planned.get(shard, set())
        skipped = elsewhere.get(shard, frozenset())
        part = output.read(output.images_key(shard), ["image_id", "key", "status"])
        part = part.filter(pc.invert(pc.is_in(part["status"], pa.array(LABELLED))))
        return {
            row["key"]
            for row in part.to_pylist()
            if done is not None
            and row["image_id"] not in done
            and row["image_id"] not in skipped
            and (row["status"] in wanted or _source_key(row["key"], newer) is not None)
        }

    once = {shard for shard in suspects if statuses or shard not in planned}
    looked_at = sorted(once | of_replaced)
    with ThreadPoolExecutor(_READS_AT_A_TIME) as pool:
        found = dict(zip(looked_at, pool.map(failed_in, looked_at), strict=True))
    failed = {shard: keys for shard, keys in found.items() if keys}
    sources = _sources(output, failed, newer) if failed else []
    return list(reader.shards(sorted(sources, key=lambda s: (s.key, s.retry_of or ""))))


def _source_key(key: str, sources: Mapping[str, object]) -> str | None:
    """Return the key of the object that an image, or a row for a damaged tar, is in."""
    key = key if key in sources else _DAMAGE.sub("", key)
    while key not in sources:
        key, slash, _ = key.rpartition("/")
        if not slash:
            return None
    return key


def _shards_of(output: Output, keys: Mapping[str, object]) -> set[str]:
    if not keys:
        return set()
    plan = output.plan_table(["shard_id", "key"])
    among = pc.is_in(plan["key"], value_set=pa.array(sorted(keys), pa.string()))
    return set(plan.filter(among)["shard_id"].to_pylist())


def _sources(output: Output, failed: Failed, newer: Mapping[str, Source]) -> Iterator[Source]:
    """Yield the objects of failed images, as they are now."""
    wanted = pa.array(sorted(failed), pa.string())
    plans = map(output.plan, output.plan_numbers())
    for shard in shards_of([p.filter(pc.is_in(p["shard_id"], wanted))] for p in plans):
        keys = failed[shard.id]
        own = {source.key: source for source in shard.sources}
        members: dict[str, set[str]] = defaultdict(set)
        for key in keys:
            source_key = _source_key(key, own)
            if source_key is not None:
                members[source_key].add(key)
        for key, images in members.items():
            source = replace(newer.get(key, own[key]), retry_of=shard.id)
            whole = shard.images is None and bool(images & {key, own[key].damage_key})
            if whole and own[key].start is not None and key in newer:
                continue  # the ranges of another version are others
            if own[key].members is not None or shard.images is None:
                names = tuple(sorted(image.removeprefix(f"{key}/") for image in images))
                source = replace(source, members=None if whole else names)
            yield source
