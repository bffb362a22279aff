"""Rows that do not count, because a newer plan has the same images.

An image that could not be labelled may be planned again (`samseg.stages.retries`), and two drivers
of earlier versions could plan an image twice. All rows stay in the tables. The one of the newest
plan whose shard is committed counts, so every planned image counts once.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg.output import Output
from samseg.plan_rows import RETRIES
from samseg.types import Bool, Source, image_id_of

_READS_AT_A_TIME = 16

Superseded = Mapping[str, frozenset[str]]
"""Committed shard -> ids of its images whose rows do not count. Shards without any are absent."""


class Replanned:
    """What was planned more than once in an output folder.

    Attributes:
        retries: rows of plans with `retry_of`, in planning order: `shard_id`, `key`, `images`,
            `retry_of`, `members` and `start`.
        duplicates: shards all of whose objects an earlier plan has. They need not be labelled.
    """

    def __init__(self, output: Output):
        """Read the end of every plan, and more only of those that need it."""
        self._output = output
        numbers = output.plan_numbers()
        with ThreadPoolExecutor(_READS_AT_A_TIME) as pool:
            ends = list(pool.map(output.metadata, map(output.plan_key, numbers)))
        retries = [n for n, end in zip(numbers, ends, strict=True) if int(end.get(RETRIES, 0))]
        columns = ["shard_id", "key", "images", "retry_of", "members", "start"]
        self.retries: list[dict[str, Any]] = []
        for n in retries:
            rows = output.plan(n, columns)
            self.retries += rows.filter(pc.is_valid(rows["retry_of"])).to_pylist()
        # only versions without this key could plan an object twice
        early = [n for n, end in zip(numbers, ends, strict=True) if RETRIES not in end]
        self._shards_of_key = _planned_twice(output, early)
        self.duplicates = frozenset(_duplicates(output, early, self._shards_of_key))

    def superseded(self, committed: set[str]) -> Superseded:
        """Find the rows that do not count; reads the images part of every tar read again.

        Args:
            committed: the committed shards.
        """
        found: dict[str, set[str]] = defaultdict(set)
        for (_, older), images in self.replaced(committed).items():
            found[older] |= images
        return {s: frozenset(images) for s, images in found.items()}

    def replaced(self, committed: set[str]) -> dict[tuple[str, str], frozenset[str]]:
        """Find the rows that do not count, and what has them in their place.

        Args:
            committed: the committed shards.

        Returns:
            (shard, earlier shard) -> images of the earlier one that the first has again. An image
            of an earlier shard occurs once.
        """
        known: dict[str, set[str]] = defaultdict(set)  # by earlier shard
        found: dict[tuple[str, str], set[str]] = defaultdict(set)

        def add(newer: str, older: str, images: set[str]) -> None:
            if newer in committed and older in committed:
                found[newer, older] |= images - known[older]
                known[older] |= images

        for key, shards in self._shards_of_key.items():
            for older, newer in combinations(shards, 2):
                add(newer, older, {image_id_of(key)})
        tars: dict[tuple[str, int | None], list[str]] = defaultdict(list)
        for row in self.retries:
            shard, key, members = row["shard_id"], row["key"], row["members"]
            tar = key, row["start"]
            whole_tar = row["images"] is None
            before = tars[tar] or [row["retry_of"]]
            if shard in committed:
                images = self._images(shard, *tar) if whole_tar else images_in(key, members)
                for older in before if whole_tar else [row["retry_of"]]:
                    add(shard, older, images)
            if whole_tar or members is not None:
                tars[tar] = [*before, shard]
        return {pair: frozenset(images) for pair, images in found.items() if images}

    def _images(self, shard: str, tar: str, start: int | None) -> set[str]:
        """Return the images of a tar read again, and the rows that stand for the tar itself."""
        itself = [tar, Source(tar, "", "", 0, start=start).damage_key]
        part = self._output.read(self._output.images_key(shard), ["image_id"])
        return {*map(image_id_of, itself), *part["image_id"].to_pylist()}


def superseded(output: Output, committed: set[str]) -> Superseded:
    """Find the rows of an output folder that do not count.

    Args:
        output: the folder.
        committed: its committed shards.
    """
    return Replanned(output).superseded(committed)


def is_current(ids: pa.ChunkedArray, images: Iterable[str]) -> Bool:
    """Return which rows of a part count, (n,) bool.

    Args:
        ids: of images or masks; the beginning of a mask's id is its image's.
        images: the superseded images of the part's shard.
    """
    known = pa.array(sorted(images), pa.string())
    if not len(known):
        return np.ones(len(ids), np.bool_)
    owners = pc.replace_substring_regex(ids, pattern="-[0-9]+$", replacement="")
    superseded = pc.is_in(owners, value_set=known)
    return ~superseded.to_numpy(zero_copy_only=False).astype(np.bool_)


def images_in(key: str, members: list[str] | None) -> set[str]:
    """Return the ids of an object's images: of the object, or of members of a tar."""
    return {image_id_of(k) for k in ([key] if members is None else [f"{key}/{m}" for m in members])}


def _planned_twice(output: Output, numbers: list[int]) -> dict[str, list[str]]:
    """Return the shards of every key that several shards of these plans have, in order."""
    if len(numbers) < 2:
        return {}
    rows = pa.concat_tables([output.plan(n, ["shard_id", "key"]) for n in numbers])
    counts = rows.group_by("key").aggregate([("shard_id", "count_distinct")])
    twice = counts.filter(pc.greater(counts["shard_id_count_distinct"], 1))["key"]
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows.filter(pc.is_in(rows["key"], value_set=twice.combine_chunks())).to_pylist():
        if row["shard_id"] not in found[row["key"]]:
            found[row["key"]].append(row["shard_id"])
    return dict(found)


def _duplicates(
    output: Output, numbers: list[int], shards_of_key: Mapping[str, list[str]]
) -> set[str]:
    """Return the shards that have no object for the first time."""
    later = {shard for shards in shards_of_key.values() for shard in shards[1:]}
    if not later:
        return set()
    once: set[str] = set()
    for n in numbers:
        rows = output.plan(n, ["shard_id", "key"])
        for row in rows.filter(pc.is_in(rows["shard_id"], pa.array([*later]))).to_pylist():
            if shards_of_key.get(row["key"], [row["shard_id"]])[0] == row["shard_id"]:
                once.add(row["shard_id"])
    return later - once
