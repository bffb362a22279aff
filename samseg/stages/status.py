"""Counts of an output folder: planned, committed, failed, given up, classified.

Complete means that every planned image has exactly one row in `images`, and its masks are there.
The counts come from the ledgers (`samseg.ledger`); shards that are in none are read. So it costs a
LIST of the parts and the narrow columns of the plans. `samseg doctor --deep` reads everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from samseg.class_counts import ClassCounts
from samseg.engine.local import Local
from samseg.engine.protocol import Engine
from samseg.errors import StorageError
from samseg.ledger import image_counts
from samseg.output import Output
from samseg.plan_rows import RETRIES
from samseg.stages.class_tally import class_counts
from samseg.stages.edits.resolution import resolved
from samseg.stages.tally import require_masks, require_no, tally
from samseg.superseded import Replanned
from samseg.types import LABELLED, RETRIED_ONCE

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
        classes: its classes after all edits.
        assigned: masks with a class under it.
        noise: masks without a class.
        embeddings: committed shards that have each named embedding, by name.
        nights: nights run.
        skipped: objects and folders that could not be read when the last night listed the lake.
        forgotten: images that were erased on request.
        edits: edits of the classes.
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
    forgotten: int = 0
    edits: int = 0

    @property
    def pending(self) -> int:
        """Shards neither committed nor quarantined."""
        return self.shards - self.committed - self.quarantined

    @property
    def complete(self) -> bool:
        """Whether every planned image has a row, or was erased; False where nothing is planned."""
        images = self.images + self.forgotten
        all_images = self.images_planned is None or self.images_planned == images
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
        if self.forgotten:
            rows.append(("forgotten", f"{self.forgotten} images, by `samseg forget`"))
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
        if self.edits:
            rows.append(("edits", f"{self.edits}; `samseg classes OUTPUT history` lists them"))
        todo = "run the night again to resume" if self.shards else "nothing is planned yet"
        complete = "yes" if self.complete else f"no; {todo}"
        return [*rows, ("nights", str(self.nights)), ("complete", complete)]


@dataclass(frozen=True, slots=True)
class _PlannedCounts:
    """What the plans of a folder ask for.

    Attributes:
        shards: ids of the planned shards.
        sources: planned objects.
        images: images in them, None if unknown before reading.
    """

    shards: set[str]
    sources: int
    images: int | None


def status_of(output: Output, engine: Engine | None = None) -> Status:
    """Count everything in `output`.

    Args:
        output: the output folder.
        engine: counts the shards that are in no ledger; None for this process.

    Raises:
        StorageError: an object is damaged, or the masks of a committed shard are missing.
    """
    with output.snapshot():
        return _status_of(output, engine or Local())


def _status_of(output: Output, engine: Engine) -> Status:
    sizes, replanned = output.sizes("images"), Replanned(output)
    planned = _planned(output)
    shards = planned.shards - (replanned.duplicates - sizes.keys())
    done = {shard: size for shard, size in sizes.items() if shard in shards}
    tallied = tally(output, engine, write=False, sizes=done, replanned=replanned)
    require_no(tallied.problems)
    require_masks(output, tallied.rows)
    counts = image_counts(tallied.rows)
    nights = output.nights()
    versions = output.codebook_versions()
    classes, masks = 0, ClassCounts()
    if versions:
        classes = len(resolved(output, versions[-1]).current)
        masks = class_counts(output, versions[-1], engine, tallied.rows)
    return Status(
        shards=len(shards),
        committed=len(done),
        unplanned=len(sizes) - len(done),
        quarantined=len(output.quarantined()),
        sources=planned.sources,
        images_planned=planned.images,
        images=counts.images,
        statuses=dict(counts.statuses),
        masks=counts.masks,
        codebook=versions[-1] if versions else None,
        classes=classes,
        assigned=masks.masks - masks.noise,
        noise=masks.noise,
        embeddings={name: len(done.keys() & output.embedded(name)) for name in output.embeddings()},
        nights=len(nights),
        skipped=_skipped(output, nights),
        forgotten=len(output.forgotten()),
        edits=len(output.edit_numbers()),
    )


def _skipped(output: Output, nights: Sequence[str]) -> int:
    """Return what the last night that listed the lake counts as skipped."""
    for stamp in reversed(nights):
        try:
            planned = output.read_json(output.night_key(stamp, "status.json"))["counts"].get("plan")
        except (StorageError, LookupError):  # it runs, was killed, or its record is damaged
            continue
        if planned is not None:
            return int(planned.get("skipped_count", 0))
    return 0


def _planned(output: Output) -> _PlannedCounts:
    """Add up the plans, one in memory at a time.

    Since plans count their retries, no object is in two of them but as a retry.
    """
    shards: set[str] = set()
    sources, images, unknown = 0, 0, False
    early: list[pa.Table] = []
    for n in output.plan_numbers():
        counted = RETRIES in output.metadata(output.plan_key(n))
        columns = ["shard_id", "images", "retry_of", "start", *([] if counted else ["key"])]
        plan = output.plan(n, columns)
        shards.update(pc.unique(plan["shard_id"]).to_pylist())
        first = plan.filter(pc.is_null(plan["retry_of"]))
        if counted:
            ranges = pc.sum(pc.greater(first["start"], 0)).as_py() or 0
            sources += first.num_rows - ranges
            images += pc.sum(first["images"]).as_py() or 0
            unknown |= first["images"].null_count > 0
        else:
            early.append(first.select(["key", "images"]))
    if early:
        by_key = pa.concat_tables(early).group_by("key").aggregate([("images", "max")])
        sources += by_key.num_rows
        images += pc.sum(by_key["images_max"]).as_py() or 0
        unknown |= by_key["images_max"].null_count > 0
    return _PlannedCounts(shards, sources, None if unknown else images)
