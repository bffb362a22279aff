"""The commands that delete on request: `prune` and `forget`."""

from dataclasses import asdict
from typing import Annotated

import typer

from samseg.errors import redact
from samseg.terminal import Terminal, on_terminal

Folder = Annotated[
    str, typer.Argument(help="The output folder, or a config file.", show_default=False)
]
Yes = Annotated[bool, typer.Option("--yes", help="Delete. Without it, only say what would be.")]

_MB = 1e6


@on_terminal
def prune(
    terminal: Terminal,
    output: Folder,
    keep_codebooks: Annotated[
        int, typer.Option(help="How many of the newest codebooks keep everything.")
    ] = 3,
    yes: Yes = False,
) -> int:
    """Delete the assignments, counts, vectors and exports of earlier codebooks.

    The table of their classes stays, since later classes name them as their parents. A night may
    run meanwhile: it reads the newest codebook.
    """
    from samseg.output import Output
    from samseg.stages.prune import prunable
    from samseg.stages.prune import prune as delete

    folder = Output.existing(_uri(output))
    found = prunable(folder, keep_codebooks)
    if yes:
        delete(folder, found)
    lines = [
        f"codebook v{of.version}: {len(of.keys)} objects, {of.bytes / _MB:.1f} MB"
        + ("" if of.committed else " (of a fit that was never finished)")
        for of in found
    ]
    total = f"{sum(of.bytes for of in found) / _MB:.1f} MB"
    end = f"{total} deleted" if yes else f"{total}; --yes deletes them"
    record = {"samseg": "prune", "output": redact(folder.uri), "deleted": yes}
    codebooks = [asdict(of) | {"keys": len(of.keys)} for of in found]
    terminal.result(
        record | {"codebooks": codebooks}, [*lines, end if found else "nothing to delete"]
    )
    return 0


@on_terminal
def forget(
    terminal: Terminal,
    output: Folder,
    keys: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY...",
            help="Images: their paths below the root of the lake.",
            show_default=False,
        ),
    ],
    yes: Yes = False,
) -> int:
    """Erase images: their rows, masks and vectors, and what shows them.

    They are never labelled again in this folder, also where they still lie in the lake. All exports
    go with them; the next night writes those of the config again. Run it while no night runs: an
    image that a running night has read already would be committed.
    """
    from samseg.output import Output
    from samseg.stages.forget import forget as erase
    from samseg.stages.forget import traces

    folder = Output.existing(_uri(output))
    found = [traces(folder, key) for key in dict.fromkeys(keys)]
    images, lines = [], []
    for of in found:
        if yes:
            of = traces(folder, of.key)  # what an image before has deleted is gone
            erase(folder, of)
        images.append({"key": of.key, "tables": len(of.tables), "objects": len(of.objects)})
        what = f"rows in {len(of.tables)} objects, {len(of.objects)} objects to delete"
        lines.append(f"{of.key}: {what if of.tables else 'nothing is left of it'}")
    record = {"samseg": "forget", "output": redact(folder.uri), "deleted": yes, "images": images}
    end = "erased; the next report and exports are without them" if yes else "--yes erases them"
    terminal.result(record, [*lines, end])
    return 0


def _uri(output: str) -> str:
    from samseg import config as configs

    return configs.load(output).output if output.endswith((".yaml", ".yml")) else output
