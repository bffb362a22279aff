"""The command `samseg import`: corrections that people made in other tools."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samseg.commands.classes import Author
from samseg.errors import redact
from samseg.terminal import Terminal, on_terminal

if TYPE_CHECKING:
    from samseg.corrections.differences import Differences
    from samseg.engine.protocol import Engine
    from samseg.stages.corrections.importing import Imported
    from samseg.stages.corrections.proposal import Proposal


@on_terminal
def import_(
    terminal: Terminal,
    output: Annotated[
        str, typer.Argument(help="The output folder, or a config file.", show_default=False)
    ],
    file: Annotated[
        Path,
        typer.Argument(
            help="A COCO file of an export, corrected, or what Label Studio exports as JSON.",
            show_default=False,
        ),
    ],
    author: Author = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")
    ] = False,
) -> int:
    """Take over what people corrected in an export: categories, masks, outlines.

    Renamed and merged categories become edits of classes, masks of another category are moved,
    masks that were deleted are left out of exports, and outlines that were changed are kept beside
    the machine's. Only what differs from the export is a correction, so edits that others made
    since stay. Importing a file again changes nothing.

    Exit codes: 0 done, 1 done, but a part of the file could not be taken over.
    """
    from samseg import config as configs
    from samseg.corrections.reading import read_corrected
    from samseg.edits.author import this_user
    from samseg.engine import Local
    from samseg.output import Output
    from samseg.stages.corrections.importing import CorrectionImport, Imported

    engine: Engine = Local()
    place = output
    if output.endswith((".yaml", ".yml")):
        config = configs.load(output)
        output, engine = config.output, config.engine
    folder = Output.existing(output)
    running = CorrectionImport(folder, read_corrected(file))
    if dry_run:
        proposal = running.proposal()
        done = Imported(running.changed, proposal, conflicts=proposal.conflicts)
    else:
        done = running.run(author or this_user(), engine)
    code = int(not done.complete)
    record = {"samseg": "import", "output": redact(folder.uri), "exit": code, "dry_run": dry_run}
    counts = _counts(done.proposal) | {"left": _left(done.changed), "conflicts": done.conflicts}
    steps = _steps(done.proposal) if dry_run else []
    terminal.result(
        record | counts | {"edits": [edit.number for edit in done.edits]},
        [*steps, *done.conflicts, *_summary(done, place, dry_run)],
    )
    return code


def _counts(proposal: "Proposal") -> dict[str, int]:
    moved = [move for move in proposal.moves if move.into != "ignored"]
    ignored = [move for move in proposal.moves if move.into == "ignored"]
    return {
        "renamed": len(proposal.names),
        "merged": sum(len(merge.class_ids) for merge in proposal.merges),
        "new_classes": len(proposal.added),
        "moved": sum(len(move.mask_ids) for move in moved) + sum(map(len, proposal.added.values())),
        "ignored": sum(len(move.mask_ids) for move in ignored),
        "redrawn": len(proposal.redrawn),
    }


def _left(changed: "Differences") -> dict[str, int]:
    return {
        "unknown_images": changed.unknown_images,
        "unknown_masks": changed.unknown_masks,
        "drawn": changed.drawn,
        "others": changed.others,
        "unseen": changed.unseen,
        "untouched": sum(changed.untouched.values()),
    }


def _steps(proposal: "Proposal") -> list[str]:
    """Return what is to be done, a line each."""
    lines = [f"class {name.class_id} is called '{name.name}'" for name in proposal.names]
    lines += [
        f"merge {', '.join(map(str, merge.class_ids))} into class {merge.into}"
        for merge in proposal.merges
    ]
    lines += [f"new class '{name}' of {len(masks)} masks" for name, masks in proposal.added.items()]
    for move in proposal.moves:
        into = "no class" if move.into is None else f"class {move.into}"
        what = "leave {} masks out of exports" if move.into == "ignored" else "move {} masks to {}"
        lines.append(what.format(len(move.mask_ids), into))
    lines += [f"keep {len(proposal.redrawn)} outlines"] if proposal.redrawn else []
    return lines


def _summary(done: "Imported", place: str, dry_run: bool) -> list[str]:
    """Return what was done, what was not, and what to do next."""
    counts = _counts(done.proposal)
    words = {
        "renamed": "{} classes renamed",
        "merged": "{} classes merged",
        "new_classes": "{} classes added",
        "moved": "{} masks moved",
        "ignored": "{} masks left out of exports",
        "redrawn": "{} outlines kept",
    }
    did = [words[key].format(count) for key, count in counts.items() if count]
    left = _left(done.changed)
    reasons = {
        "unknown_images": "{} images that the folder does not have",
        "unknown_masks": "{} masks that were not exported",
        "drawn": "{} masks drawn by hand, which have no embedding",
        "others": "{} annotations that are no masks",
        "unseen": "{} tasks that nobody has submitted",
        "untouched": "{} masks whose category the file does not have",
    }
    not_done = [reasons[key].format(count) for key, count in left.items() if count]
    not_done += [f"{len(done.conflicts)} corrections that others made otherwise since"] * bool(
        done.conflicts
    )
    edits = f", in {len(done.edits)} edits" if done.edits else ""
    config = place if place.endswith((".yaml", ".yml")) else "CONFIG"
    following = f"`samseg export -c {config} --all`, `samseg classes {place} history`"
    return [
        f"{'To do:' if dry_run else 'Done: '}   {', '.join(did) or 'nothing, all is so already'}"
        + edits,
        f"Left:    {', '.join(not_done) or 'nothing'}",
        f"Next:    {'without --dry-run, the same command' if dry_run else following}",
    ]
