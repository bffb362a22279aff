"""Draws the page of a search. Each photo is fetched once; one that is gone is shown as missing."""

import shlex
from collections.abc import Callable, Sequence
from importlib.metadata import version as version_of
from pathlib import Path

from samseg.errors import StorageError, redact
from samseg.finding.found import FoundMasks, KeptClass
from samseg.finding.prompted import PromptedObject
from samseg.lake import address_now
from samseg.masks.palette import color_of
from samseg.printable import printable_line
from samseg.readers import fetch_many
from samseg.readers.decode import DecodePolicy
from samseg.stages.report.drawing import DrawnImages, draw, fetched_from
from samseg.stages.report.exemplars import ShownMask
from samseg.types import NOISE
from samseg.views import crops
from samseg.views.found_page import FoundCrop, FoundPage, render_found
from samseg.views.page import PageImage


def write_page(
    found: FoundMasks, path: Path, on_progress: Callable[[int], None] = lambda done: None
) -> None:
    """Write the page of a search; an existing file is replaced.

    Args:
        found: the result of the search.
        path: of the page.
        on_progress: called with the number of photos drawn.

    Raises:
        StorageError: the page cannot be written.
    """
    output = found.output
    decode = DecodePolicy(**(output.recipe() or {}).get("decode", {})).decode
    fetch = fetched_from(address_now(output), fetch_many)
    kept = None if found.kept is None else found.kept.class_id
    shown = [*found.accepted, *found.rejected, *found.masks]
    drawn = draw(shown, {}, fetch, decode, on_progress)
    examples = [_crop(mask, drawn) for mask in found.accepted]
    if found.prompted is not None:
        examples.insert(0, _prompted(found.prompted))
    page = FoundPage(
        title=_title(found),
        output=redact(output.uri),
        compared=found.compared,
        accepted=examples,
        rejected=[_crop(mask, drawn) for mask in found.rejected],
        found=[
            _crop(mask, drawn, distance, name, kept)
            for mask, distance, name in zip(found.masks, found.distances, found.names, strict=True)
        ],
        facts=_facts(found.kept),
        commands=next_commands(found),
        version=version_of("samseg"),
    )
    try:
        path.write_text(render_found(page), encoding="utf-8")
    except OSError as e:
        raise StorageError(
            f"cannot write {path}: {e.strerror or e}; check that its folder is there and writable"
        ) from e


def next_commands(found: FoundMasks) -> Sequence[tuple[str, str]]:
    """Return (description, command) of what can be done next."""
    path = redact(found.output.uri).removeprefix("file://")
    if found.kept is None:
        example = found.masks[0].mask_id if found.masks else "MASK"
        keep = f"samseg find {shlex.quote(path)} --mask {example} --name NAME"
        return [("Keep one of these, and what is like it, as a class", keep)]
    name = shlex.quote(printable_line(found.kept.name))
    refine = f"samseg find {shlex.quote(path)} --name {name} --accept MASK --reject MASK"
    undo = f"samseg classes {shlex.quote(path)} undo {found.kept.edit}"
    return [
        ("Say which of these masks are of the class and which are not", refine),
        *([("Take this edit back", undo)] if found.kept.edit is not None else []),
    ]


def _title(found: FoundMasks) -> str:
    if found.kept is not None:
        return f"Masks like “{found.kept.name}”"
    if found.prompted is not None:
        return f"Masks like the object in {found.prompted.name}"
    return f"Masks like {found.accepted[0].mask_id}" if found.accepted else "Masks like an example"


def _facts(kept: KeptClass | None) -> Sequence[tuple[str, str]]:
    """Return (number, what it counts) of a class by example."""
    if kept is None:
        return ()
    counts = [
        (kept.masks, "mask in the class" if kept.masks == 1 else "masks in the class"),
        (kept.accepted, "accepted"),
        (kept.rejected, "rejected"),
    ]
    facts = [(str(number), what) for number, what in counts]
    if kept.radius is not None:
        facts.append((f"{kept.radius:.3f}", "radius, a cosine distance"))
    return facts


def _crop(
    mask: ShownMask,
    drawn: DrawnImages,
    distance: float | None = None,
    name: str = "",
    kept: int | None = None,
) -> FoundCrop:
    note = drawn.missing.get(mask.uri) or f"mask {mask.mask_id}"
    image = PageImage(drawn.crops.get(mask.mask_id), mask.key, note, mask.image_id)
    class_id = mask.class_id if name else None
    inside = kept is not None and mask.class_id == kept
    return FoundCrop(image, mask.mask_id, distance, class_id, name, inside)


def _prompted(of: PromptedObject) -> FoundCrop:
    src = crops.data_uri(crops.exemplar(of.pixels, of.rle, color_of(NOISE + 1)))
    return FoundCrop(PageImage(src, of.name, "the object at the prompt"), "")
