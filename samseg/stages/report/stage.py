"""The report stage: the page of a night, from the tables and a few hundred pictures.

What is read is bounded but for the narrow columns that are counted: see `exemplars`. An image that
cannot be fetched any more leaves a quiet gap and never fails the page.
"""

import json
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as version_of
from typing import Any

from samseg.errors import redact
from samseg.output import Output
from samseg.stages.report import exemplars
from samseg.stages.report.drawing import DrawnImages, Fetch, draw
from samseg.stages.report.exemplars import LakeCounts, Shown
from samseg.types import NOISE, Image
from samseg.views import report as view
from samseg.views.report import ClassCard, ExampleImage, FailedImage, Page, PageImage

_SCENES = 8
_CROPS = ((24, 12), (100, 4))
"""(classes up to this rank, crops of each); the classes after these have none."""

_NOISE_CROPS = 12
_SHOWN_QUARANTINE = 10


def report(
    output: Output,
    stamp: str,
    fetch: Fetch,
    decode: Callable[[bytes], Image],
    *,
    lake: str = "",
    seconds: Mapping[str, float] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> str:
    """Write `nights/{stamp}/report.html` and return its key.

    Args:
        output: the output folder.
        stamp: the night's name. If it has a page already, that one stays.
        fetch: gets images by the URIs of the column `uri`, each once, in any order, with the
            reason in place of the bytes where one cannot be had.
        decode: turns the bytes into the picture that was labelled; raises `ImageError`.
        lake: where the images are, to show.
        seconds: wall seconds of this night's stages so far, to show.
        on_progress: told the number of images fetched so far.

    Raises:
        StorageError: the tables cannot be read or the page not be written.
    """
    version = max(output.codebook_versions(), default=None)
    classes = _classes(output, version)
    medoids = [c["medoid_mask_id"] for c in classes.values() if c["medoid_mask_id"]]
    tally = exemplars.count(output, version, medoids)
    by_class, by_image = exemplars.read(output, version, tally, exemplars.examples(tally, _SCENES))
    ranked = [i for i, _ in tally.masks_of.most_common() if i != NOISE]
    chosen = {
        class_id: exemplars.spread(by_class.get(class_id, ()), medoid, limit)
        for class_id, medoid, limit in _wanted(classes, ranked)
    }
    shown = [mask for masks in chosen.values() for mask in masks]
    drawn = draw(shown, by_image, fetch, decode, on_progress or (lambda done: None))

    def card(class_id: int) -> ClassCard:
        return ClassCard(
            class_id=class_id,
            name=_name(classes, class_id),
            masks=tally.masks_of[class_id],
            images=tally.images_of[class_id],
            crops=[_crop(mask, drawn) for mask in chosen.get(class_id, ())],
            born_in=classes.get(class_id, {}).get("born_in"),
        )

    facts = _facts(output, version)
    quarantined = sorted(output.quarantined())
    given_up = [_given_up(output, shard) for shard in quarantined[:_SHOWN_QUARANTINE]]
    page = Page(
        lake=redact(lake or output.uri),
        output=redact(output.uri),
        stamp=stamp,
        images=tally.images,
        masks=tally.masks,
        classes=[card(i) for i in ranked],
        noise=None if version is None else card(NOISE),
        scenes=[_scene(masks, drawn, classes) for masks in by_image.values()],
        failures=[*given_up, *(FailedImage(*row) for row in tally.failures)],
        failed=sum(tally.statuses.values()) - tally.images + len(quarantined),
        stage_seconds=dict(seconds or {}),
        worker_seconds={step: spent for step, spent in tally.seconds.items() if spent},
        codebook=_known(facts),
        curve=facts.get("curve") or (),
        eps=facts.get("eps"),
        commands=_commands(redact(output.uri), version, classes, ranked, tally),
        version=version_of("samseg"),
    )
    key = output.night_key(stamp, "report.html")
    output.storage.put_new(key, view.render(page).encode())
    return key


def _classes(output: Output, version: int | None) -> dict[int, dict[str, Any]]:
    if version is None:
        return {}
    columns = ["class_id", "name", "medoid_mask_id", "born_in"]
    table = output.read(output.codebook_key(version, "classes.parquet"), columns)
    return {row["class_id"]: row for row in table.to_pylist()}


def _name(classes: Mapping[int, Mapping[str, Any]], class_id: int) -> str:
    if class_id == NOISE:
        return "noise"
    return classes.get(class_id, {}).get("name") or f"class {class_id}"


def _wanted(
    classes: Mapping[int, Mapping[str, Any]], ranked: Sequence[int]
) -> list[tuple[int, str | None, int]]:
    """Return (class id, medoid, crops wanted) of every class that gets crops, and of the noise."""
    wanted: list[tuple[int, str | None, int]] = [(NOISE, None, _NOISE_CROPS)]
    for rank, class_id in enumerate(ranked):
        limit = next((crops for upto, crops in _CROPS if rank < upto), 0)
        if limit:
            medoid = classes.get(class_id, {}).get("medoid_mask_id")
            wanted.append((class_id, medoid, limit))
    return wanted


def _crop(mask: Shown, drawn: DrawnImages) -> PageImage:
    reason = drawn.missing.get(mask.uri, "")
    return PageImage(drawn.crops.get(mask.mask_id), mask.key, reason or f"mask {mask.mask_id}")


def _scene(
    masks: Sequence[Shown], drawn: DrawnImages, classes: Mapping[int, Mapping[str, Any]]
) -> ExampleImage:
    first = masks[0]
    plain, labelled = drawn.scenes.get(first.image_id, (None, None))
    counts = Counter(m.class_id for m in masks if m.class_id not in (None, NOISE))
    return ExampleImage(
        plain=PageImage(plain, first.key),
        labelled=PageImage(labelled, first.key, drawn.missing.get(first.uri, "")),
        classes=[(i, _name(classes, i), n) for i, n in counts.most_common() if i is not None],
    )


def _facts(output: Output, version: int | None) -> dict[str, Any]:
    if version is None:
        return {}
    return dict(json.loads(output.storage.get(output.codebook_key(version, "codebook.json"))))


def _known(facts: Mapping[str, Any]) -> dict[str, str]:
    """Choose what the page says of a codebook; what a fit did not note is left out."""
    if not facts:
        return {}
    parent = facts.get("parent")
    fit = (facts.get("settings") or {}).get("fit") or {}
    found = {
        "Version": f"v{facts.get('version')}" + (f", after v{parent}" if parent else ", the first"),
        "Found by": ", ".join(
            str(v) if k == "kind" else f"{k} {v}" for k, v in fit.items() if v is not None
        ),
        "Radius": f"{facts['eps']:.4g} cosine distance" if facts.get("eps") else "",
        "Fitted on": _of(facts, "reference", "masks"),
        "Recognised by": f"{facts['anchors']:,} masks" if facts.get("anchors") else "",
    }
    return {name: text for name, text in found.items() if text}


def _of(facts: Mapping[str, Any], part: str, whole: str) -> str:
    if not isinstance(facts.get(part), int) or not isinstance(facts.get(whole), int):
        return ""
    return f"{facts[part]:,} of {facts[whole]:,} masks"


def _given_up(output: Output, shard: str) -> FailedImage:
    record = json.loads(output.storage.get(output.quarantine_key(shard)))
    sources, failures = record.get("sources") or [shard], record.get("failures") or [""]
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return FailedImage("shard given up", f"{sources[0]}{more}", failures[-1])


def _commands(
    uri: str,
    version: int | None,
    classes: Mapping[int, Mapping[str, Any]],
    ranked: Sequence[int],
    tally: LakeCounts,
) -> list[tuple[str, str]]:
    place = uri.removeprefix("file://")

    def query(sql: str) -> str:
        return f'samseg query -o {shlex.quote(place)} "{sql}"'

    commands = [
        ("How every image fared", query("select status, count(*) from images group by all"))
    ]
    if ranked and version is not None:
        counts = (
            "select class_id, name, count(*) as masks from labels group by all order by masks desc"
        )
        commands.insert(0, ("Masks per class", query(counts)))
        medoid = classes.get(ranked[0], {}).get("medoid_mask_id")
        if medoid:
            like = f"select * from nearest('{medoid}', k := 10)"
            title = f"The ten masks most like the first picture of {_name(classes, ranked[0])}"
            commands.insert(1, (title, query(like)))
        folder = f"{place}/classes/v{version:06d}/assignments/*.parquet"
        commands.append(
            (
                "The same tables without samseg, in DuckDB",
                f"select class_id, count(*) as masks\nfrom '{place}/masks/*.parquet'\n"
                f"join '{folder}' using (mask_id)\ngroup by all order by masks desc;",
            )
        )
    if tally.masks:
        commands.append(
            ("In Python, as a data frame", f"import samseg\nsamseg.open({place!r}).labels.df()")
        )
    return commands
