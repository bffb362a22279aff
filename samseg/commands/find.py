"""The command `samseg find`: what is like an example, in the whole lake."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samseg.commands.classes import Author, Reason
from samseg.errors import redact
from samseg.picture.commands import PointLabels
from samseg.terminal import Terminal, on_terminal

if TYPE_CHECKING:
    from samseg.finding.found import FoundMasks

_NOTHING_FOUND = 1
"""Exit code if there is no other mask, like that of a night without masks."""


@on_terminal
def find(
    terminal: Terminal,
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUTPUT",
            help="The output folder, or a config file, whose engine searches.",
            show_default=False,
        ),
    ],
    photo: Annotated[
        str | None,
        typer.Argument(
            metavar="[PHOTO]",
            help="Path or URL of any image file, with the object at --box or --point.",
            show_default=False,
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,X,Y", help="The object in this box: left,top,right,bottom in px."
        ),
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="The object at this point, in px; repeat for several."),
    ] = None,
    label: PointLabels = None,
    mask: Annotated[
        str | None,
        typer.Option(metavar="MASK", help="A mask of the lake in place of a photo: its id."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Keep it as a class with this name, to which later nights assign, too. The same "
            "name again refines the class, or shows it.",
            show_default=False,
        ),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(metavar="MASK", help="A further mask of the lake that is of it; repeat."),
    ] = None,
    reject: Annotated[
        list[str] | None,
        typer.Option(metavar="MASK", help="A mask that is not of it; repeat."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many masks are shown.")] = 24,
    page: Annotated[
        Path, typer.Option(metavar="FILE", help="The page; an existing file is replaced.")
    ] = Path("samseg-find.html"),
    author: Author = None,
    reason: Reason = "",
) -> int:
    """Find the masks that are most like one example, and keep them as a class.

    The example is an object in any photo, or a mask of the lake. Exits with 1 if the lake has no
    other mask.
    """
    from samseg.finding.example import Wanted

    accepted = [mask, *(accept or ())] if mask else (accept or ())
    wanted = Wanted.of(photo, box, point or (), label or (), accepted, reject or (), name)

    from samseg import config as configs
    from samseg.finding.find import search
    from samseg.finding.page import write_page
    from samseg.output import Output
    from samseg.resume import resumed

    config = None
    if output.endswith((".yaml", ".yml")):
        config = configs.load(output)
        output = config.output
    folder = Output.existing(output)
    progress = terminal.progress
    progress.start("find", None, "shards")
    found = search(
        folder,
        wanted,
        k,
        config=None if config is None else resumed(config, folder),
        engine=None if config is None else config.engine,
        author=author,
        reason=reason,
        on_progress=lambda done: progress.update(done),
    )
    progress.finish(f"{len(found)} masks")
    write_page(found, page)
    code = 0 if len(found) else _NOTHING_FOUND
    terminal.result(_record(found, page, code), _lines(found, page))
    return code


def _lines(found: "FoundMasks", page: Path) -> list[str]:
    """Return what a person reads: the masks, the class, the page and the next command."""
    from samseg.finding.page import next_commands
    from samseg.views.rows import render

    lines = render(found.to_arrow()).splitlines() if len(found) else ["there are no other masks"]
    lines.append(found.compared)
    if kept := found.kept:
        did = "" if kept.edit is None else f"edit {kept.edit}: "
        lines.append(f"{did}class {kept.class_id} '{kept.name}' has {kept.masks} masks")
    lines.append(f"Page: {page.absolute()}")
    what, command = next_commands(found)[0]
    return [*lines, f"Next: {command}  ({what[:1].lower()}{what[1:]})"]


def _record(found: "FoundMasks", page: Path, code: int) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "samseg": "find",
        "exit": code,
        "output": redact(found.output.uri),
        "embedding": found.embedding,
        "codebook": found.codebook,
        "class": None if found.kept is None else asdict(found.kept),
        "accepted": [mask.mask_id for mask in found.accepted],
        "rejected": [mask.mask_id for mask in found.rejected],
        "masks": found.to_arrow().to_pylist(),
        "page": str(page.absolute()),
    }
