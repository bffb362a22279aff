"""Finds what is like an example in the whole lake, and keeps it as a class: `samseg.find`."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from samseg.config import Config
from samseg.edits.edit import ExampleMask
from samseg.edits.evidence import Evidence
from samseg.engine.local import Local
from samseg.engine.protocol import Engine
from samseg.errors import ConfigError, redact
from samseg.finding.example import Wanted
from samseg.finding.found import FoundMasks
from samseg.finding.keeping import class_of_name, keep
from samseg.finding.prompted import PromptedObject, prompted
from samseg.finding.settings import settings_of
from samseg.output import Output
from samseg.stages.edits.chosen import chosen
from samseg.stages.edits.masks import present
from samseg.stages.edits.resolution import resolved
from samseg.stages.find.search import nearest
from samseg.stages.find.space import SearchSpace
from samseg.stages.report.exemplars import ShownMask, distinct_masks, read_masks

MOST = 500
"""Masks that a search shows, at most."""
_OUTLINES = 4
"""Near-identical outlines of one object that are expected, at most, on average."""


def find(
    output: str | Output,
    photo: str | None = None,
    *,
    box: Sequence[float] | None = None,
    points: Sequence[Sequence[float]] = (),
    labels: Sequence[int] = (),
    accept: Sequence[str] = (),
    reject: Sequence[str] = (),
    name: str | None = None,
    k: int = 24,
    author: str | None = None,
    reason: str = "",
) -> FoundMasks:
    """Find the masks of a lake that are most like an example.

        samseg.find("labels", "photo.jpg", box=(80, 60, 420, 300))
        samseg.find("labels", accept=["MASK_ID"], name="crack")      # kept as a class

    Args:
        output: an output folder, or its URI or path.
        photo: path or URL of any image file, with an object at `box` or `points`.
        box: xyxy, px.
        points: xy each, px.
        labels: one per point, 1 inside, 0 outside; all inside by default.
        accept: ids of masks of the lake that are examples, too.
        reject: ids of masks that are not of it.
        name: keep it as a class with this name. If there is such a class by example, it is
            refined by these masks, or shown if there are none.
        k: how many masks.
        author: who keeps the class; the user of this process by default.
        reason: why.

    Raises:
        ConfigError: there is no example, a mask is not there, or the name is another class's.
        ImageError: the photo cannot be read or decoded.
        RecipeError: the model of this machine is another one than the folder's.
    """
    folder = Output.existing(output) if isinstance(output, str) else output
    corners = None if box is None else _text(box)
    wanted = Wanted.of(photo, corners, [_text(p) for p in points], labels, accept, reject, name)
    return search(folder, wanted, k, author=author, reason=reason)


def _text(numbers: Sequence[float]) -> str:
    return ",".join(map(str, numbers))


def search(
    output: Output,
    wanted: Wanted,
    k: int,
    *,
    config: Config | None = None,
    engine: Engine | None = None,
    author: str | None = None,
    reason: str = "",
    on_progress: Callable[[int], None] = lambda done: None,
) -> FoundMasks:
    """Find what is like an example, and keep it if it has a name; see `find`.

    Args:
        output: the output folder.
        wanted: the example.
        k: how many masks.
        config: settings of the folder's nights, for an object of a photo; None for those recorded.
        engine: runs the maps; None for this process.
        author: who keeps the class.
        reason: why.
        on_progress: called with the number of shards searched.
    """
    if not 1 <= k <= MOST:
        raise ConfigError(f"got k={k}, wanted 1 to {MOST} masks")
    engine, space = engine or Local(), SearchSpace.of(output)
    seen: PromptedObject | None = None
    accepted: list[str | ExampleMask] = [*wanted.accepted]
    if wanted.photo is not None and wanted.prompt is not None:
        settings = config or settings_of(output)
        seen = prompted(output, settings, wanted.photo, wanted.prompt, space.embedding)
        accepted.insert(0, seen.example)
    if wanted.name is None:
        evidence = Evidence(0, *chosen(output, space.embedding, accepted, wanted.rejected))
        kept = None
    elif space.codebook is None:
        raise ConfigError(
            f"{redact(output.uri)} has no classes yet, so none can be kept; run `samseg cluster -c "
            "CONFIG`, or leave out the name"
        )
    else:
        edit = keep(output, space.codebook, wanted, accepted, author, reason)
        evidence, kept = class_of_name(output, space.codebook, wanted.name, edit, engine)
    direction = space.direction(evidence)
    examples = [m.mask_id for m in (*evidence.accepted, *evidence.rejected) if m.mask_id]
    near = nearest(
        output,
        space.embedding,
        space.transform(len(direction)),
        direction,
        _OUTLINES * k,
        engine,
        frozenset(examples),
        on_progress,
    )
    found = resolved(output, space.version)
    shard_of = {one.mask_id: one.shard_id for one in near}
    shard_of |= {mask.mask_id: mask.shard_id for mask in present(output, examples)}
    rows = {mask.mask_id: mask for mask in read_masks(output, space.version, found, shard_of)}
    yes, no = (_shown(side, rows) for side in (evidence.accepted, evidence.rejected))
    distance = {one.mask_id: one.distance for one in near if one.mask_id in rows}
    apart = distinct_masks([*yes, *no, *(rows[mask] for mask in distance)])
    masks = [mask for mask in apart if mask.mask_id in distance]
    masks = sorted(masks, key=lambda mask: (distance[mask.mask_id], mask.mask_id))[:k]
    return FoundMasks(
        output=output,
        embedding=space.embedding,
        codebook=space.version,
        prompted=seen,
        accepted=yes,
        rejected=no,
        masks=masks,
        distances=[distance[mask.mask_id] for mask in masks],
        names=["" if m.class_id is None else found.name(m.class_id) for m in masks],
        kept=kept,
    )


def _shown(side: Iterable[ExampleMask], rows: Mapping[str, ShownMask]) -> list[ShownMask]:
    """Return the masks of one side that are in the lake."""
    ids = (mask.mask_id for mask in side)
    return [rows[mask] for mask in ids if mask is not None and mask in rows]
