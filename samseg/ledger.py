"""Ledgers: counts per shard, so that totals do not need every part of the lake.

`ledger/{n}.parquet` counts images and masks, `classes/v{version}/ledger/{n}.parquet` the masks of
each class. Every night appends the shards that are listed and in no ledger yet. A ledger is a cache
of the parts: a row counts as long as the part that it counted has the size that it had then, and of
several rows of a shard the one of the lowest number counts. A recount that finds other counts
begins anew: ledgers of lower numbers count no more.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import schema
from samseg.output import Output
from samseg.types import LABELLED, NOISE

_ANEW = b"samseg.anew"
"""Key in the metadata of a ledger: those of lower numbers count no more."""
_READS_AT_A_TIME = 16
_ROWS = 10_000
"""Rows of one ledger; a refit of a large lake writes several."""
_SHARDS_OF_CLASS = 8

CLEAR = 1.5
"""A mask is clearly of its class if the next class is at least this many times as far. In classes
of the true segments of 100 photos, those clearly of their class have the label that most of its
masks have in 60 % (coco_panoptic), 69 % (ccp) and 93 % (rural_streets) of the cases; the others in
29, 48 and 94 %."""

Sizes = Mapping[str, int]
"""Shard -> bytes of its part."""


@dataclass(slots=True)
class ImageCounts:
    """What is in `images` and `masks`; an image that was labelled again counts once.

    Attributes:
        images: images with a row, of any status.
        masks: their masks.
        statuses: images per status.
        seconds: worker seconds per step.
        failed_in: some of the shards with images that could not be labelled.
    """

    images: int = 0
    masks: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    failed_in: list[str] = field(default_factory=list)

    @property
    def labelled(self) -> int:
        """Images that were labelled."""
        return sum(self.statuses[status] for status in LABELLED)


@dataclass(slots=True)
class ClassCounts:
    """The masks of each class under one codebook.

    Attributes:
        masks: masks with an assignment.
        noise: those without a class.
        invalid: those without a usable embedding; part of `noise`.
        masks_of: masks per class, noise included.
        images_of: images with masks of a class, noise included.
        clear_of: masks that are clearly of their class; a class that is the only one has no entry.
        shards_of: for each class some shards with masks of it, noise included.
    """

    masks: int = 0
    noise: int = 0
    invalid: int = 0
    masks_of: Counter[int] = field(default_factory=Counter)
    images_of: Counter[int] = field(default_factory=Counter)
    clear_of: Counter[int] = field(default_factory=Counter)
    shards_of: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, rows: pa.Table, sign: int = 1) -> None:
        """Add rows of `schema.CLASS_LEDGER`, or with `sign` -1 take them back."""
        self.masks += sign * (pc.sum(rows["masks"]).as_py() or 0)
        self.noise += sign * (pc.sum(rows["noise"]).as_py() or 0)
        self.invalid += sign * (pc.sum(rows["invalid"]).as_py() or 0)
        classes = rows["classes"].combine_chunks()
        entries, shard = pc.list_flatten(classes), pc.list_parent_indices(classes)
        class_id, masks, images, clear = (pc.struct_field(entries, n) for n in range(4))
        table = pa.table(
            [class_id, masks, images, clear, shard],
            ["class_id", "masks", "images", "clear", "shard"],
        ).sort_by([("class_id", "ascending"), ("shard", "ascending")])
        found, start = np.unique(table["class_id"].to_numpy(), return_index=True)
        sums = table.group_by("class_id", use_threads=False).aggregate(
            [("masks", "sum"), ("images", "sum"), ("clear", "sum")]
        )
        for of in sums.to_pylist():
            self.masks_of[of["class_id"]] += sign * of["masks_sum"]
            self.images_of[of["class_id"]] += sign * of["images_sum"]
            if of["clear_sum"] is not None:
                self.clear_of[of["class_id"]] += sign * of["clear_sum"]
        ends = np.append(start[1:], table.num_rows)[: len(start)].tolist()
        for of_class, first, end in zip(found.tolist(), start.tolist(), ends, strict=True):
            room = _SHARDS_OF_CLASS - len(self.shards_of[of_class])
            if sign > 0 and room > 0:
                some = rows["shard_id"].take(table["shard"].slice(first, min(room, end - first)))
                self.shards_of[of_class] += some.to_pylist()

    def merged(self, into: Mapping[int, int]) -> "ClassCounts":
        """Return the counts with classes added up that people merged.

        A class of several that have masks has no number of images: they may have images in common.

        Args:
            into: class -> the class that its masks have now; others keep theirs.
        """
        counts = ClassCounts(self.masks, self.noise, self.invalid)
        for name in ("masks_of", "images_of", "clear_of"):
            for class_id, number in getattr(self, name).items():
                getattr(counts, name)[into.get(class_id, class_id)] += number
        for class_id, shards in self.shards_of.items():
            known = counts.shards_of[into.get(class_id, class_id)]
            known += [shard for shard in shards if shard not in known]
        parts = Counter(into.get(class_id, class_id) for class_id, n in self.masks_of.items() if n)
        counts.images_of = Counter({c: n for c, n in counts.images_of.items() if parts[c] == 1})
        return counts


def read(
    output: Output, sizes: Sizes, version: int | None = None, *, columns: Sequence[str] = ()
) -> pa.Table:
    """Return the rows that count, one per shard and `replaces`, in no particular order.

    Args:
        output: the output folder.
        sizes: of the parts that are there now.
        version: of a codebook, for `CLASS_LEDGER`; None for `LEDGER`.
        columns: to read beside those that tell which rows count; all if there are none.

    Raises:
        StorageError: a ledger is damaged.
    """
    table = schema.LEDGER if version is None else schema.CLASS_LEDGER
    if columns:
        wanted = {"shard_id", "replaces", "bytes", *columns}
        table = pa.schema([f for f in table if f.name in wanted], metadata=table.metadata)
    keys = [output.ledger_key(n, version) for n in output.ledger_numbers(version)]
    with ThreadPoolExecutor(_READS_AT_A_TIME) as threads:
        parts = list(threads.map(lambda key: output.read(key, table.names), keys))
    anew = [n for n, part in enumerate(parts) if _ANEW in (part.schema.metadata or {})]
    parts = [p.replace_schema_metadata(table.metadata) for p in parts[anew[-1] if anew else 0 :]]
    rows = pa.concat_tables([table.empty_table(), *parts])
    if not rows.num_rows:
        return rows
    counted = rows["shard_id"]
    if version is None:
        counted = pc.coalesce(rows["replaces"], counted)
    shards = pa.array(list(sizes), pa.string())
    now = pa.array(list(sizes.values()), pa.int64())
    position = pc.index_in(counted, value_set=shards)
    same = pc.fill_null(pc.equal(now.take(position.combine_chunks()), rows["bytes"]), False)
    rows = rows.filter(pc.and_(same, pc.is_in(rows["shard_id"], value_set=shards)))
    return rows.take(pa.array(_first(rows)))


def _first(rows: pa.Table) -> Any:
    """Return the first row of each shard and `replaces`, (n,) int64."""
    names = [name for name in ("shard_id", "replaces") if name in rows.column_names]
    codes = [
        pc.index_in(rows[name], value_set=pc.unique(rows[name]), skip_nulls=False).to_numpy()
        for name in names
    ]
    _, first = np.unique(np.stack(codes, axis=1), axis=0, return_index=True)
    return np.sort(first)


def append(
    output: Output, rows: pa.Table, version: int | None = None, *, anew: bool = False
) -> None:
    """Write rows as new ledgers, sorted by shard; nothing is written where there are none.

    What another run writes at the same time may count the same shards; see above.

    Args:
        output: the output folder.
        rows: of `LEDGER`, or of `CLASS_LEDGER`.
        version: of the codebook, for the latter.
        anew: earlier ledgers count no more.
    """
    numbers = output.ledger_numbers(version) if rows.num_rows else []
    n = numbers[-1] + 1 if numbers else 0
    by_shard = [
        (name, "ascending") for name in ("shard_id", "replaces") if name in rows.schema.names
    ]
    rows = rows.sort_by(by_shard)
    for start in range(0, rows.num_rows, _ROWS):
        part = rows.slice(start, _ROWS)
        if anew and not start:
            part = part.replace_schema_metadata({**part.schema.metadata, _ANEW: "true"})
        payload = schema.encode(part)
        while not output.storage.put_new(output.ledger_key(n, version), payload):
            n += 1
        n += 1


def table_of(rows: Sequence[Mapping[str, Any]], version: int | None = None) -> pa.Table:
    """Return rows as a table: of `LEDGER`, or with the version of a codebook of `CLASS_LEDGER`."""
    table = schema.LEDGER if version is None else schema.CLASS_LEDGER
    return schema.table_of([dict(row) for row in rows], table)


def image_counts(rows: pa.Table) -> ImageCounts:
    """Add up rows of `LEDGER`, as `read` returns them."""
    counts = ImageCounts()
    own = pc.is_null(rows["replaces"])
    for part, sign in ((rows.filter(own), 1), (rows.filter(pc.invert(own)), -1)):
        counts.images += sign * (pc.sum(part["images"]).as_py() or 0)
        counts.masks += sign * (pc.sum(part["masks"]).as_py() or 0)
        for step in schema.SECONDS:
            spent = pc.sum(pc.struct_field(part["seconds"], step)).as_py() or 0.0
            counts.seconds[step] = counts.seconds.get(step, 0.0) + sign * spent
        for status, images in _by_status(part):
            counts.statuses[status] += sign * images
    counts.statuses = +counts.statuses
    counts.failed_in = _failed_in(rows)
    return counts


def _by_status(rows: pa.Table) -> Iterator[tuple[str, int]]:
    flat = pc.list_flatten(rows["statuses"].combine_chunks())
    table = pa.table([pc.struct_field(flat, 0), pc.struct_field(flat, 1)], ["status", "images"])
    for row in table.group_by("status").aggregate([("images", "sum")]).to_pylist():
        yield row["status"], row["images_sum"]


def _failed_in(rows: pa.Table, limit: int = 50) -> list[str]:
    """Return the first shards with failed images that were not labelled again since."""
    statuses = rows["statuses"].combine_chunks()
    status = pc.struct_field(pc.list_flatten(statuses), 0)
    failed = pc.invert(pc.is_in(status, value_set=pa.array(LABELLED)))
    found = pc.list_parent_indices(statuses).filter(failed)
    with_failed = rows.take(pc.unique(found)).select(["shard_id", "replaces", "statuses"])
    left: Counter[str] = Counter()
    for row in with_failed.to_pylist():
        bad = sum(s["images"] for s in row["statuses"] if s["status"] not in LABELLED)
        left[row["replaces"] or row["shard_id"]] += -bad if row["replaces"] else bad
    return sorted(shard for shard, images in left.items() if images > 0)[:limit]


def class_counts(rows: pa.Table) -> ClassCounts:
    """Add up rows of `CLASS_LEDGER`, some thousand shards in memory at a time."""
    counts = ClassCounts()
    rows = rows.sort_by("shard_id")
    for start in range(0, rows.num_rows, _ROWS):
        counts.add(rows.slice(start, _ROWS))
    return counts


def class_row(shard: str, size: int, assignments: pa.Table) -> dict[str, Any]:
    """Count the assignments of one shard: a row of `CLASS_LEDGER`.

    Args:
        shard: its id.
        size: bytes of the part.
        assignments: `mask_id`, `class_id`, `distance` and `margin`.
    """
    owner = pc.replace_substring_regex(assignments["mask_id"], pattern="-[0-9]+$", replacement="")
    nearest = pc.multiply(assignments["distance"], pa.scalar(CLEAR - 1, pa.float32()))
    table = pa.table(
        {
            "class_id": assignments["class_id"],
            "owner": owner,
            "clear": pc.cast(pc.greater_equal(assignments["margin"], nearest), pa.int64()),
        }
    )
    of_class = table.group_by("class_id", use_threads=False).aggregate(
        [("owner", "count"), ("owner", "count_distinct"), ("clear", "sum")]
    )
    classes = [
        {"class_id": class_id, "masks": masks, "images": images, "clear": clear_masks}
        for class_id, masks, images, clear_masks in zip(
            *(of_class[c].to_pylist() for c in of_class.column_names), strict=True
        )
    ]
    classes.sort(key=lambda row: row["class_id"])
    return {
        "shard_id": shard,
        "bytes": size,
        "masks": assignments.num_rows,
        "noise": sum(row["masks"] for row in classes if row["class_id"] == NOISE),
        "invalid": assignments["distance"].null_count,
        "classes": [row | ({"clear": None} if row["class_id"] == NOISE else {}) for row in classes],
    }
