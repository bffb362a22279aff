"""The tables of an output folder: `status` and `query`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from samseg.errors import ConfigError, redact
from samseg.terminal import Terminal, on_terminal

if TYPE_CHECKING:
    from samseg.engine.protocol import Engine


@on_terminal
def status(
    terminal: Terminal,
    output: Annotated[
        str,
        typer.Argument(
            help="The output folder, or a config file, whose engine counts.", show_default=False
        ),
    ],
    recount: Annotated[
        bool,
        typer.Option("--recount", help="Read every part, and rebuild ledgers that are wrong."),
    ] = False,
) -> int:
    """Count what is planned, committed, failed, given up and classified.

    The exit code is 1 while images are failed or shards given up.
    """
    from samseg import config as configs
    from samseg.engine import Local
    from samseg.output import Output
    from samseg.stages.recount import recount as count_again
    from samseg.stages.status import status_of

    engine: Engine = Local()
    if output.endswith((".yaml", ".yml")):
        config = configs.load(output)
        output, engine = config.output, config.engine
    folder = Output.existing(output)
    wrong = count_again(folder, engine) if recount else 0
    counts = status_of(folder, engine)
    rows = counts.lines()
    if recount:
        found = f"{wrong} shards were counted otherwise; the ledgers are rebuilt" if wrong else ""
        rows.append(("recount", found or "the ledgers are right"))
    width = max(len(label) for label, _ in rows)
    terminal.result(
        {"samseg": "status", "output": redact(output), "complete": counts.complete}
        | ({"recounted": wrong} if recount else {})
        | asdict(counts),
        [f"{label:<{width}}  {text}" for label, text in rows],
    )
    return counts.exit


@on_terminal
def query(
    terminal: Terminal,
    sql: Annotated[
        str, typer.Argument(help="A DuckDB select over the tables.", show_default=False)
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", envvar="SAMSEG_OUTPUT", help="The output folder.", show_default=False
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="Read the output folder from a config.", show_default=False
        ),
    ] = None,
    format: Annotated[
        Literal["table", "csv", "json"], typer.Option(help="How the rows are printed.")
    ] = "table",
) -> int:
    """Query the tables: images, masks, embeddings, classes, labels, nearest(mask_id, k)."""
    import samseg
    from samseg.views.rows import render

    uri = output
    if config is not None:
        from samseg import config as configs

        uri = configs.load(config).output
    if uri is None:
        raise ConfigError(
            "no output folder given; use --output URI, --config FILE or SAMSEG_OUTPUT"
        )
    rows = samseg.open(uri).query(sql)
    typer.echo(render(rows, "json" if terminal.json else format))
    return 0
