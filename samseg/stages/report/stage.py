"""The report stage: writes the report page of a night from the tables and a few hundred images.

Reads are bounded, but for shards that are in no ledger yet (see `counts`). An image that can no
longer be fetched is shown as missing and does not fail the stage.
"""

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version as version_of
from typing import Any

from samseg.engine.protocol import Engine
from samseg.errors import redact
from samseg.lake import address_now
from samseg.ledger import CLEAR
from samseg.output import Output
from samseg.schema import SAM_COLUMN
from samseg.stages.edits.resolution import resolved
from samseg.stages.report import exemplars
from samseg.stages.report.counts import LakeCounts, count
from samseg.stages.report.drawing import DrawnImages, Fetch, draw
from samseg.stages.report.exemplars import ShownMask
from samseg.types import NOISE, Image
from samseg.views import report as view
from samseg.views.report import ClassCard, ExampleImage, FailedImage, Page, PageImage

_SCENES = 8
_CROPS = ((24, 12), (100, 4))
"""(number of classes, ranked by size; crops of each). Further classes have no crops."""

_LABELS = {
    "efficientnet_lite0": "its network learned from ImageNet's labels; your images need none",
}
"""What to say of the labels that a kind of embedding depends on."""

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
    engine: Engine | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> str:
    """Write `nights/{stamp}/report.html` and return its key.

    Args:
        output: the output folder.
        stamp: name of the night. An existing page is kept.
        fetch: fetches images by URI, each once, in any order, with the error in place of the bytes
            on failure.
        decode: decodes bytes as for labelling; raises `ImageError`.
        lake: URI of the lake, for display.
        seconds: wall seconds of this night's stages so far, for display.
        left_out: files of the lake that are not read, for display.
        engine: counts the shards that are in no ledger; None for this process.
        on_progress: called with the number of images fetched so far.

    Raises:
        StorageError: the tables cannot be read or the page cannot be written.
    """
    version = max(output.codebook_versions(), default=None)
    classes = _classes(output, version)
    medoids = [c["medoid_mask_id"] for c in classes.values() if c["medoid_mask_id"]]
    counts = count(output, version, medoids, engine)
    of, masks_of = counts.images, counts.classes.masks_of
    images = exemplars.examples(counts, _SCENES)
    manifest = _manifest(output, version)
    embedding = manifest.get("embedding", SAM_COLUMN)
    by_class, by_image = exemplars.read(output, version, counts, images, embedding)
    hidden = {NOISE} if counts.resolved is None else {NOISE, *counts.resolved.ignored}
    ranked = [i for i, _ in masks_of.most_common() if i not in hidden]
    chosen = {
        class_id: exemplars.spread(by_class.get(class_id, ()), medoid, limit)
        for class_id, medoid, limit in _crop_limits(classes, ranked)
    }
    shown = [mask for masks in chosen.values() for mask in masks]
    moved = _moved(fetch, address_now(output))
    drawn = draw(shown, by_image, moved, decode, on_progress or (lambda done: None))

    def card(class_id: int) -> ClassCard:
        return ClassCard(
            class_id=class_id,
            name=_name(classes, class_id),
            masks=masks_of[class_id],
            images=counts.classes.images_of[class_id],
            crops=[_crop(mask, drawn) for mask in chosen.get(class_id, ())],
            born_in=classes.get(class_id, {}).get("born_in"),
            clear=counts.classes.clear_of.get(class_id),
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
        scenes=[_scene(masks, drawn, classes) for masks in by_image.values()],
        failures=[*given_up, *(FailedImage(*row) for row in counts.failures)],
        failed=of.images - of.labelled + len(quarantined),
        left_out=left_out,
        stage_seconds=dict(seconds or {}),
        worker_seconds={step: spent for step, spent in of.seconds.items() if spent},
        codebook=_codebook_rows(manifest, _embedding_row(output, manifest)),
        curve=manifest.get("curve") or (),
        eps=manifest.get("eps"),
        commands=_commands(redact(output.uri), version, classes, ranked, counts),
        version=version_of("samseg"),
    )
    key = output.night_key(stamp, "report.html")
    output.storage.put_new(key, view.render(page).encode())
    return key


def _moved(fetch: Fetch, address: Callable[[str], str]) -> Fetch:
    """Return what fetches images by the URIs of their rows, from where they are now."""

    def from_there(uris: Sequence[str]) -> Iterator[tuple[str, bytes | Exception]]:
        row_of = {address(uri): uri for uri in uris}
        for uri, payload in fetch(list(row_of)):
            yield row_of[uri], payload

    return from_there


def _classes(output: Output, version: int | None) -> dict[int, dict[str, Any]]:
    if version is None:
        return {}
    columns = ["class_id", "name", "medoid_mask_id", "born_in"]
    table = output.read(output.codebook_key(version, "classes.parquet"), columns)
    rows = {row["class_id"]: row for row in table.to_pylist()}
    made = {"medoid_mask_id": None, "born_in": None}
    found = resolved(output, version)
    return rows | {c: {**rows.get(c, made), "name": found.name(c)} for c in found.current}


def _name(classes: Mapping[int, Mapping[str, Any]], class_id: int) -> str:
    if class_id == NOISE:
        return "noise"
    return classes.get(class_id, {}).get("name") or f"class {class_id}"


def _crop_limits(
    classes: Mapping[int, Mapping[str, Any]], ranked: Sequence[int]
) -> list[tuple[int, str | None, int]]:
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
    return PageImage(drawn.crops.get(mask.mask_id), mask.key, reason or f"mask {mask.mask_id}")


def _scene(
    masks: Sequence[ShownMask], drawn: DrawnImages, classes: Mapping[int, Mapping[str, Any]]
) -> ExampleImage:
    first = masks[0]
    plain, labelled = drawn.scenes.get(first.image_id, (None, None))
    counts = Counter(m.class_id for m in masks if m.class_id not in (None, NOISE))
    return ExampleImage(
        plain=PageImage(plain, first.key),
        labelled=PageImage(labelled, first.key, drawn.missing.get(first.uri, "")),
        classes=[(i, _name(classes, i), n) for i, n in counts.most_common() if i is not None],
    )


def _manifest(output: Output, version: int | None) -> dict[str, Any]:
    if version is None:
        return {}
    return output.codebook_manifest(version)


def _embedding_row(output: Output, manifest: Mapping[str, Any]) -> str:
    """Return the embedding of the codebook and the labels that it depends on."""
    name = manifest.get("embedding", "")
    recipe = output.recipe(name) if name not in ("", SAM_COLUMN) else None
    labels = _LABELS.get((recipe or {}).get("kind", ""))
    return f"{name}: {labels}" if labels else name


def _codebook_rows(manifest: Mapping[str, Any], embedding: str) -> dict[str, str]:
    """Return the rows of the page's codebook table; values missing in the manifest are omitted."""
    if not manifest:
        return {}
    parent = manifest.get("parent")
    fit = (manifest.get("settings") or {}).get("fit") or {}
    rows = {
        "Version": f"v{manifest.get('version')}"
        + (f", after v{parent}" if parent else ", the first"),
        "Fitted by": ", ".join(
            str(v) if k == "kind" else f"{k} {v}" for k, v in fit.items() if v is not None
        ),
        "Embedding": embedding,
        "Cut": f"{manifest['cut']:.4g} mean cosine distance" if manifest.get("cut") else "",
        "Radius": _radius(manifest),
        "Fit sample": _ratio(manifest, "reference", "masks"),
        "Prototypes": _prototypes(manifest),
        "Remark": manifest.get("remark", ""),
    }
    return {name: text for name, text in rows.items() if text}


def _radius(manifest: Mapping[str, Any]) -> str:
    if not manifest.get("eps"):
        return ""
    several = "up to " if _by_means(manifest) else ""
    return f"{several}{manifest['eps']:.4g} cosine distance"


def _prototypes(manifest: Mapping[str, Any]) -> str:
    if not manifest.get("anchors"):
        return ""
    return f"{manifest['anchors']:,} {'class means' if _by_means(manifest) else 'masks'}"


def _by_means(manifest: Mapping[str, Any]) -> bool:
    """Return whether classes are recognised by their means, each within a radius of its own."""
    fit = (manifest.get("settings") or {}).get("fit") or {}
    return fit.get("kind") in ("linkage", "hdbscan")


def _ratio(manifest: Mapping[str, Any], part: str, whole: str) -> str:
    if not isinstance(manifest.get(part), int) or not isinstance(manifest.get(whole), int):
        return ""
    return f"{manifest[part]:,} of {manifest[whole]:,} masks"


def _given_up(output: Output, shard: str) -> FailedImage:
    record = output.read_json(output.quarantine_key(shard))
    sources, failures = record.get("sources") or [shard], record.get("failures") or [""]
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return FailedImage("shard given up", f"{sources[0]}{more}", failures[-1])


def _commands(
    uri: str,
    version: int | None,
    classes: Mapping[int, Mapping[str, Any]],
    ranked: Sequence[int],
    counts: LakeCounts,
) -> list[tuple[str, str]]:
    path = uri.removeprefix("file://")

    def query(sql: str) -> str:
        return f'samseg query -o {shlex.quote(path)} "{sql}"'

    commands = [("Images per status", query("select status, count(*) from images group by all"))]
    if ranked and version is not None:
        per_class = (
            "select class_id, name, count(*) as masks from labels group by all order by masks desc"
        )
        commands.insert(0, ("Masks per class", query(per_class)))
        medoid = classes.get(ranked[0], {}).get("medoid_mask_id")
        if medoid:
            like = f"select * from nearest('{medoid}', k := 10)"
            title = f"The ten masks most similar to the medoid of {_name(classes, ranked[0])}"
            commands.insert(1, (title, query(like)))
        commands.append(("The same tables without samseg, in DuckDB", _duckdb(path, per_class)))
    if counts.images.masks:
        commands.append(
            (
                "In Python, as an Arrow table",
                f"import samseg\ntable = samseg.open({path!r}).query('from labels')",
            )
        )
    return commands


def _duckdb(path: str, sql: str) -> str:
    """Return a shell command; DuckDB loads a script from a local file only."""
    if "://" not in path:
        return f'duckdb -init {shlex.quote(f"{path}/views.sql")} -c "{sql}"'
    copy = (
        f"aws s3 cp {path}/views.sql ." if path.startswith("s3://") else f"# copy {path}/views.sql"
    )
    return f'{copy}\nduckdb -init views.sql -c "{sql}"'
