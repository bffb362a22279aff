"""The report stage: writes the report page of a night from the tables and a few hundred images.

Reads are bounded, but for shards that are in no ledger yet (see `counts`). An image that can no
longer be fetched is shown as missing and does not fail the stage.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as version_of
from typing import Any

from samseg.class_counts import CLEAR
from samseg.drift import Drift
from samseg.engine.protocol import Engine
from samseg.errors import redact
from samseg.lake import address_now
from samseg.output import Output
from samseg.schema import SAM_COLUMN
from samseg.stages import drift as drifts
from samseg.stages.class_table import ClassRows, name_of, shown_classes
from samseg.stages.cluster.stage import ClusterReport
from samseg.stages.report import exemplars
from samseg.stages.report.changes import changes_of, shards_of_exemplars
from samseg.stages.report.commands import commands
from samseg.stages.report.counts import count
from samseg.stages.report.drawing import DrawnImages, Fetch, draw, fetched_from
from samseg.stages.report.exemplars import ShownMask
from samseg.stages.report.fit_rows import fit_rows
from samseg.stages.report.photos import choose
from samseg.types import NOISE, Image
from samseg.views import report as view
from samseg.views.page import ClassCard, FailedImage, Page, PageImage, PagePhoto

_CROPS = ((24, 12), (100, 4))
"""(number of classes, ranked by size; crops of each). Further classes have no crops."""

_NOISE_CROPS = 12
_QUARANTINED = 10


def report(
    output: Output,
    stamp: str,
    fetch: Fetch,
    decode: Callable[[bytes], Image],
    *,
    lake: str = "",
    seconds: Mapping[str, float] | None = None,
    left_out: str = "",
    clustered: ClusterReport | None = None,
    engine: Engine | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> str:
    """Write `nights/{stamp}/report.html`, and `drift.json` after a cluster stage.

    Args:
        output: the output folder.
        stamp: name of the night. An existing page is kept.
        fetch: fetches images by URI, each once, in any order, with the error in place of the bytes
            on failure.
        decode: decodes bytes as for labelling; raises `ImageError`.
        lake: URI of the lake, for display.
        seconds: wall seconds of this night's stages so far, for display.
        left_out: files of the lake that are not read, for display.
        clustered: result of the night's cluster stage, to measure what the night changed; None to
            show what the last night measured.
        engine: counts the shards that are in no ledger; None for this process.
        on_progress: called with the number of images fetched so far.

    Returns:
        The key of the page.

    Raises:
        StorageError: the tables cannot be read or the page cannot be written.
    """
    version = max(output.codebook_versions(), default=None)
    classes = shown_classes(output, version)
    medoids = [c["medoid_mask_id"] for c in classes.values() if c["medoid_mask_id"]]
    counts = count(output, version, medoids, engine)
    of, masks_of = counts.images, counts.classes.masks_of
    drift = _drift(output, stamp, clustered, engine)
    new_shards = set(clustered.new_shards) if clustered else set()
    photos = choose(output, counts, new_shards)
    manifest = _manifest(output, version)
    embedding = manifest.get("embedding", SAM_COLUMN)
    by_class, by_image = exemplars.read(output, version, counts, photos.shown, embedding)
    hidden = {NOISE} if counts.resolved is None else {NOISE, *counts.resolved.ignored}
    ranked = [i for i, _ in masks_of.most_common() if i not in hidden]
    chosen = {
        class_id: exemplars.spread(
            exemplars.distinct_masks(by_class.get(class_id, ()), medoid), medoid, limit
        )
        for class_id, medoid, limit in _crop_limits(classes, ranked)
    }
    read = exemplars.read_masks(output, version, counts.resolved, shards_of_exemplars(drift))
    far = exemplars.distinct_masks(read)
    shown = [*(mask for masks in chosen.values() for mask in masks), *far]
    moved = fetched_from(address_now(output), fetch)
    drawn = draw(shown, by_image, moved, decode, on_progress or (lambda done: None))

    born = {event.class_id for event in drift.born} if drift and drift.codebook_before else set()

    def card(class_id: int) -> ClassCard:
        return ClassCard(
            class_id=class_id,
            name=name_of(classes, class_id),
            masks=masks_of[class_id],
            images=counts.classes.images_of.get(class_id, None if masks_of[class_id] else 0),
            crops=[_crop(mask, drawn) for mask in chosen.get(class_id, ())],
            clear=counts.classes.clear_of.get(class_id),
            is_new=class_id in born,
        )

    quarantined = sorted(output.quarantined())
    given_up = [_given_up(output, shard) for shard in quarantined[:_QUARANTINED]]
    page = Page(
        lake=redact(lake or output.uri),
        output=redact(output.uri),
        stamp=stamp,
        images=of.labelled,
        masks=of.masks,
        classes=[card(i) for i in ranked],
        noise=None if version is None else card(NOISE),
        clear=CLEAR,
        changes=changes_of(drift, classes, {mask.mask_id: _crop(mask, drawn) for mask in far}),
        photos=[
            _photo(masks, drawn, classes, photos.shown[image_id] in new_shards)
            for image_id, masks in by_image.items()
        ],
        listed=photos.listed,
        failures=[*given_up, *(FailedImage(*row) for row in counts.failures)],
        failed=of.images - of.labelled + len(quarantined),
        left_out=left_out,
        stage_seconds=dict(seconds or {}),
        worker_seconds={step: spent for step, spent in of.seconds.items() if spent},
        codebook=fit_rows(output, manifest),
        curve=manifest.get("curve") or (),
        eps=manifest.get("eps"),
        commands=commands(redact(output.uri), classes, ranked, of.masks),
        version=version_of("samseg"),
    )
    key = output.night_key(stamp, "report.html")
    output.storage.put_new(key, view.render(page).encode())
    return key


def _drift(
    output: Output, stamp: str, clustered: ClusterReport | None, engine: Engine | None
) -> Drift | None:
    """Measure and write the drift of this night, or return the last one measured."""
    if clustered is None:
        return next(iter(drifts.last(output, 1)), None)
    drift = drifts.measure(output, stamp, clustered.before, clustered.new_shards, engine)
    drifts.write(output, drift)
    return drift


def _crop_limits(classes: ClassRows, ranked: Sequence[int]) -> list[tuple[int, str | None, int]]:
    """Return (class id, medoid, number of crops) of noise and of every class with crops."""
    limits: list[tuple[int, str | None, int]] = [(NOISE, None, _NOISE_CROPS)]
    for rank, class_id in enumerate(ranked):
        limit = next((crops for upto, crops in _CROPS if rank < upto), 0)
        if limit:
            medoid = classes.get(class_id, {}).get("medoid_mask_id")
            limits.append((class_id, medoid, limit))
    return limits


def _crop(mask: ShownMask, drawn: DrawnImages) -> PageImage:
    reason = drawn.missing.get(mask.uri, "")
    note = reason or f"mask {mask.mask_id}"
    return PageImage(drawn.crops.get(mask.mask_id), mask.key, note, mask.image_id)


def _photo(
    masks: Sequence[ShownMask], drawn: DrawnImages, classes: ClassRows, is_new: bool
) -> PagePhoto:
    first = masks[0]
    src, layer, size = drawn.photos.get(first.image_id, (None, None, tuple(first.rle["size"])))
    counts = Counter(m.class_id for m in masks if m.class_id not in (None, NOISE))
    return PagePhoto(
        image_id=first.image_id,
        key=first.key,
        src=src,
        masks_src=layer,
        size=size,
        note=drawn.missing.get(first.uri, ""),
        classes=[(i, name_of(classes, i), n) for i, n in counts.most_common() if i is not None],
        is_new=is_new,
    )


def _manifest(output: Output, version: int | None) -> dict[str, Any]:
    if version is None:
        return {}
    return output.codebook_manifest(version)


def _given_up(output: Output, shard: str) -> FailedImage:
    record = output.read_json(output.quarantine_key(shard))
    sources, failures = record.get("sources") or [shard], record.get("failures") or [""]
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return FailedImage("shard given up", f"{sources[0]}{more}", failures[-1])
