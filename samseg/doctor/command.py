"""The command `samseg doctor`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samseg.errors import ConfigError, redact
from samseg.object_names import kind_of
from samseg.terminal import Terminal, on_terminal

if TYPE_CHECKING:
    from samseg.engine.protocol import Engine
    from samseg.output import Output


@on_terminal
def doctor(
    terminal: Terminal,
    output: Annotated[
        str,
        typer.Argument(
            help="The output folder, or a config file, whose engine `--deep` uses.",
            show_default=False,
        ),
    ],
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every object whole, not only names and sizes.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Move damaged parts to damaged/; the next night writes them again."
        ),
    ] = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe/--no-probe", help="Create one object twice, which the store must refuse."
        ),
    ] = True,
) -> int:
    """Check the store and all objects of an output folder, and name what mends them.

    Repair while no night runs. No night deletes objects.

    Exit codes: 0 nothing is wrong, 1 objects are damaged or missing, 3 the store does not answer
    or cannot be used.
    """
    from samseg import config as configs
    from samseg.doctor.examination import examine
    from samseg.doctor.probe import probe as probe_store
    from samseg.doctor.repair import repair as set_aside
    from samseg.engine import Local

    engine: Engine = Local()
    if output.endswith((".yaml", ".yml")):
        config = configs.load(output)
        output, engine = config.output, config.engine
    folder = _opened(output)
    if probe:
        probe_store(folder)
    reading = engine if deep else None
    found, present = examine(folder, reading, probe)
    if repair and found.findings:
        moved = set_aside(folder, found.findings, present.bytes)
        found, _ = examine(folder, reading, probe)
        found.repaired = moved
    terminal.result(found.record(), found.lines())
    return found.exit


def _opened(uri: str) -> "Output":
    """Open an output folder without reading any of it, unlike `Output.existing`.

    Raises:
        ConfigError: there is none.
    """
    from samseg.output import Output

    folder = Output(uri)
    local = folder.uri.removeprefix("file://")
    exists = Path(local).is_dir() if local != folder.uri else True
    if not exists or not any(kind_of(source.key) for source in folder.storage.list()):
        raise ConfigError(f"there is no output folder at {redact(uri)}")
    return folder
