"""Counts of an output folder: planned, committed, failed, given up, classified.

Complete means that every planned image has exactly one row in `images`, and its masks are there.
Narrow columns of every images part and the end of every masks part are read, so the cost grows with
the lake; do not call it in a loop. `samseg doctor --deep` reads everything.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from samseg.errors import NotFoundError
from samseg.output import Output
from samseg.superseded import Replanned, is_current
from samseg.types import LABELLED, NOISE, RETRIED_ONCE

_RETRIED = f"{', '.join(RETRIED_ONCE)} once by the next night, others by --retry-failed STATUS"


@dataclass(frozen=True, slots=True)
class Status:
    """The state of an output folder.

    Attributes:
        shards: planned shards.
        committed: planned shards with an images part.
        unplanned: other shards with an images part.
        quarantined: shards given up.
        sources: planned objects.
        images_planned: images in them, None if unknown before reading (tars).
        images: images with a row; an image that was labelled again counts once.
        statuses: images per status.
        masks: their masks.
        codebook: version of the newest codebook, None if there is none.
        classes: its active classes.
        assigned: masks with a class under it.
        noise: masks without a class.
        embeddings: committed shards that have each named embedding, by name.
        nights: nights run.
        skipped: objects and folders that could not be read when the last night listed the lake.
    """

    shards: int
    committed: int
    unplanned: int
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
    embeddings: dict[str, int]
    nights: int
    skipped: int = 0

    @property
    def pending(self) -> int:
        """Shards neither committed nor quarantined."""
        return self.shards - self.committed - self.quarantined

    @property
    def complete(self) -> bool:
        """Whether every planned image has a row; False where nothing is planned."""
        all_images = self.images_planned is None or self.images_planned == self.images
        return 0 < self.shards == self.committed and all_images and not self.unplanned

    @property
    def failed(self) -> int:
        """Images that could not be labelled."""
        return self.images - sum(self.statuses.get(status, 0) for status in LABELLED)

    @property
    def exit(self) -> int:
        """1 while images are failed or shards given up, else 0."""
        return int(bool(self.failed or self.quarantined))

    def lines(self) -> list[tuple[str, str]]:
        """Return what a person wants to know, as rows of a label and a text."""
        planned = self.sources if self.images_planned is None else self.images_planned
        unit = "tars" if self.images_planned is None else "images"
        by_status = ", ".join(f"{n} {s}" for s, n in sorted(self.statuses.items()))
        rows = [
            ("planned", f"{planned} {unit} in {self.shards} shards"),
            (
                "committed",
                f"{self.images} images, {self.masks} masks in {self.committed} shards",
            ),
            ("images", by_status or "-"),
            ("pending", f"{self.pending} shards, {self.quarantined} quarantined"),
        ]
        if self.skipped:
            text = f"{self.skipped} objects or folders of the lake, which cannot be read"
            rows.append(("not planned", f"{text}; the newest nights/*/status.json has the reasons"))
        if self.failed:
            rows.append(("failed", f"{self.failed} images; {_RETRIED}"))
        if self.quarantined:
            rows.append(("given up", "`--retry-quarantined` tries these shards again"))
        if self.unplanned:
            rows.append(
                ("unplanned", f"{self.unplanned} shards that are in no plan; see `samseg doctor`")
            )
        for name, shards in self.embeddings.items():
            lacking = self.committed - shards
            hint = "; `samseg describe -c CONFIG` adds it to the others" if lacking else ""
            rows.append((f"embedding {name}", f"{shards} of {self.committed} shards{hint}"))
        if self.codebook is not None:
            rows.append(
                (
                    "classes",
                    f"{self.classes} in codebook v{self.codebook}; {self.assigned} masks assigned, "
                    f"{self.noise} noise",
                )
            )
        todo = "run the night again to resume" if self.shards else "nothing is planned yet"
        complete = "yes" if self.complete else f"no; {todo}"
        return [*rows, ("nights", str(self.nights)), ("complete", complete)]


def status_of(output: Output) -> Status:
    """Count everything in `output`.

    Raises:
        StorageError: an object is damaged, or the masks of a committed shard are missing.
    """
    plan = output.plan_table(["shard_id", "key", "images", "retry_of"])
    found, replanned = output.committed(), Replanned(output)
    again = replanned.superseded(found)
    planned = set(pc.unique(plan["shard_id"]).to_pylist()) - (replanned.duplicates - found)
    done = found & planned
    statuses: Counter[str] = Counter()
    masks = images = 0
    for shard_id in done:
        part = output.read(output.images_key(shard_id), ["image_id", "status", "masks"])
        _require_masks(output, shard_id, pc.sum(part["masks"]).as_py() or 0)
        part = part.filter(pa.array(is_current(part["image_id"], again.get(shard_id, ()))))
        statuses.update(part["status"].to_pylist())
        masks += pc.sum(part["masks"]).as_py() or 0
        images += part.num_rows
    versions = output.codebook_versions()
    classes = assigned = noise = 0
    if versions:
        table = output.read(output.codebook_key(versions[-1], "classes.parquet"), ["status"])
        classes = table["status"].to_pylist().count("active")
        for shard_id in done & output.assigned(versions[-1]):
            key = output.assignments_key(versions[-1], shard_id)
            part = output.read(key, ["mask_id", "class_id"])
            part = part.filter(pa.array(is_current(part["mask_id"], again.get(shard_id, ()))))
            in_part = pc.sum(pc.equal(part["class_id"], NOISE)).as_py() or 0
            noise += in_part
            assigned += part.num_rows - in_part
    nights = output.nights()
    first = plan.filter(pc.is_null(plan["retry_of"])).group_by("key").aggregate([("images", "max")])
    unknown = first["images_max"].null_count > 0
    return Status(
        shards=len(planned),
        committed=len(done),
        unplanned=len(found - planned),
        quarantined=len(output.quarantined()),
        sources=first.num_rows,
        images_planned=None if unknown else (pc.sum(first["images_max"]).as_py() or 0),
        images=images,
        statuses=dict(statuses),
        masks=masks,
        codebook=versions[-1] if versions else None,
        classes=classes,
        assigned=assigned,
        noise=noise,
        embeddings={name: len(done & output.embedded(name)) for name in output.embeddings()},
        nights=len(nights),
        skipped=_skipped(output, nights),
    )


def _skipped(output: Output, nights: Sequence[str]) -> int:
    """Return what the last night that listed the lake counts as skipped."""
    for stamp in reversed(nights):
        try:
            planned = output.read_json(output.night_key(stamp, "status.json"))["counts"].get("plan")
        except NotFoundError:  # it runs, or was killed
            continue
        if planned is not None:
            return int(planned.get("skipped_count", 0))
    return 0


def _require_masks(output: Output, shard_id: str, wanted: int) -> None:
    """Check that a committed shard has the masks that its images count."""
    key = output.masks_key(shard_id)
    found = output.rows(key)
    with output.decoding(key):
        if found != wanted:
            raise ValueError(f"{found} masks, where {output.images_key(shard_id)} counts {wanted}")
