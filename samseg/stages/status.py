"""Counts what an output folder holds: planned, committed, failed, given up, classified.

The completeness check: every planned image has exactly one row in `images`. Reads narrow columns
of every part, so its cost grows with the lake; not for a hot loop.
"""

from collections import Counter
from dataclasses import dataclass

import pyarrow.compute as pc

from samseg.output import Output
from samseg.types import NOISE


@dataclass(frozen=True, slots=True)
class Status:
    """The state of an output folder.

    Attributes:
        shards: planned shards.
        committed: shards with an images part.
        quarantined: shards given up.
        sources: planned objects.
        images_planned: images in them, None where only reading can tell (tars).
        images: rows of `images`.
        statuses: images per status.
        masks: rows of `masks`, by the images' own counts.
        codebook: version of the newest codebook, None before the first.
        classes: its classes.
        assigned: masks with a class under it.
        noise: masks without.
        nights: nights run.
    """

    shards: int
    committed: int
    quarantined: int
    sources: int
    images_planned: int | None
    images: int
    statuses: dict[str, int]
    masks: int
    codebook: int | None
    classes: int
    assigned: int
    noise: int
    nights: int

    @property
    def pending(self) -> int:
        """Shards still to be labelled."""
        return self.shards - self.committed - self.quarantined

    @property
    def complete(self) -> bool:
        """Every planned image has its row."""
        whole = self.images_planned is None or self.images_planned == self.images
        return self.committed == self.shards and whole


def status_of(output: Output) -> Status:
    """Count everything in `output`."""
    plan = output.plan_table(["shard_id", "images"])
    done = output.committed()
    statuses: Counter[str] = Counter()
    masks = images = 0
    for shard_id in done:
        part = output.read(output.images_key(shard_id), ["status", "masks"])
        statuses.update(part["status"].to_pylist())
        masks += pc.sum(part["masks"]).as_py() or 0
        images += part.num_rows
    versions = output.codebook_versions()
    classes = assigned = noise = 0
    if versions:
        found = output.read(output.codebook_key(versions[-1], "classes.parquet"), ["status"])
        classes = found["status"].to_pylist().count("active")
        for shard_id in output.assigned(versions[-1]):
            part = output.read(output.assignments_key(versions[-1], shard_id), ["class_id"])
            here = pc.sum(pc.equal(part["class_id"], NOISE)).as_py() or 0
            noise += here
            assigned += part.num_rows - here
    unknown = plan["images"].null_count > 0
    return Status(
        shards=len(pc.unique(plan["shard_id"])),
        committed=len(done),
        quarantined=len(output.quarantined()),
        sources=plan.num_rows,
        images_planned=None if unknown else (pc.sum(plan["images"]).as_py() or 0),
        images=images,
        statuses=dict(statuses),
        masks=masks,
        codebook=versions[-1] if versions else None,
        classes=classes,
        assigned=assigned,
        noise=noise,
        nights=len(output.nights()),
    )
