"""The `samseg` command.

Progress, notes and errors go to standard error; results go to standard output, whose last line is
one JSON object. Exit codes: 0 done, 1 done with failed images or shards given up, 2 a mistake in
the config or the command, 3 the command could not continue.
"""

import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from samseg import config as configs
from samseg.errors import ConfigError, SamsegError, redact
from samseg.exit_codes import ExitCodes
from samseg.lab.evaluation.commands import evaluations
from samseg.picture.commands import segment
from samseg.progress import for_terminal

app = typer.Typer(
    cls=ExitCodes,
    help="Label image lakes with Segment Anything: masks, embeddings and stable classes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="YAML config of the night.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="section.key=value, for example model.checkpoint=vit_h")
]
Refit = Annotated[bool, typer.Option("--refit", help="Refit the classes; ids persist.")]
Retry = Annotated[bool, typer.Option("--retry-quarantined", help="Retry the shards given up.")]
OutputUri = Annotated[
    str | None,
    typer.Option("--output", "-o", envvar="SAMSEG_OUTPUT", help="Output folder."),
]


def _night(path: Path, overrides: list[str] | None) -> Any:
    from samseg.nightly import Night

    return Night(configs.load(path, overrides or ()), for_terminal())


def _stages(
    command: str, path: Path, overrides: list[str] | None, run: Callable[[Any], Any]
) -> int:
    """Run some stages of a night and print the last line."""
    night = _night(path, overrides)
    run(night)
    typer.echo(night.summary.line(command))
    return int(night.summary.exit)


@app.command()
def nightly(
    config: ConfigPath,
    overrides: Overrides = None,
    refit: Refit = False,
    retry_quarantined: Retry = False,
) -> int:
    """Run a whole night: plan, embed, cluster, export, report. Run again to resume."""
    return _stages("nightly", config, overrides, lambda n: n.run(refit, retry_quarantined))


@app.command()
def plan(config: ConfigPath, overrides: Overrides = None) -> int:
    """List the lake and plan what is new."""
    return _stages("plan", config, overrides, lambda n: n.plan())


@app.command()
def embed(config: ConfigPath, overrides: Overrides = None, retry_quarantined: Retry = False) -> int:
    """Label the planned shards that are not committed yet."""
    return _stages("embed", config, overrides, lambda n: n.embed(retry_quarantined))


@app.command()
def describe(config: ConfigPath, overrides: Overrides = None) -> int:
    """Add the named embeddings of the config to masks that lack them, without running SAM."""
    return _stages("describe", config, overrides, lambda n: n.describe())


@app.command()
def cluster(config: ConfigPath, overrides: Overrides = None, refit: Refit = False) -> int:
    """Assign new masks to classes; refit if the lake has grown or with --refit."""
    return _stages("cluster", config, overrides, lambda n: n.cluster(refit))


@app.command()
def export(
    config: ConfigPath,
    overrides: Overrides = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Write the whole lake to new folders, in few files.")
    ] = False,
) -> int:
    """Write what the exports of the config do not have yet."""
    return _stages("export", config, overrides, lambda n: n.export(everything))


@app.command()
def report(config: ConfigPath, overrides: Overrides = None) -> int:
    """Write the report page: classes, exemplars, failures, timings."""
    return _stages("report", config, overrides, lambda n: n.report())


@app.command()
def status(output: Annotated[str, typer.Argument(help="Output folder, or a config file.")]) -> int:
    """Count what is planned, committed, failed, given up and classified."""
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from samseg.output import Output
    from samseg.stages.status import status_of

    uri = configs.load(output).output if output.endswith((".yaml", ".yml")) else output
    counts = status_of(Output.existing(uri))
    table = Table(show_header=False, box=None, pad_edge=False)
    for row in counts.lines():
        table.add_row(*row)
    Console(stderr=True).print(table)
    typer.echo(
        json.dumps(
            {"samseg": "status", "output": redact(uri), "complete": counts.complete}
            | asdict(counts)
        )
    )
    return 0


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="A DuckDB select over the tables.")],
    output: OutputUri = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Read the output folder from a config.")
    ] = None,
    format: Annotated[
        Literal["table", "csv", "json"], typer.Option(help="How to print the rows.")
    ] = "table",
) -> int:
    """Query the tables: images, masks, embeddings, classes, labels, nearest(mask_id, k)."""
    import samseg
    from samseg.views.rows import render

    uri = configs.load(config).output if config else output
    if uri is None:
        raise ConfigError(
            "no output folder given; use --output URI, --config FILE or SAMSEG_OUTPUT"
        )
    typer.echo(render(samseg.open(uri).query(sql), format))
    return 0


app.command()(segment)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to write.")] = Path("samseg-demo"),
) -> int:
    """Label a small lake of photos and scenes that ships with this package."""
    from samseg.demo.run import run

    summary = run(folder, for_terminal())
    typer.echo(summary.line("demo"))
    return summary.exit


@app.command()
def pretrain(
    config: Annotated[Path, typer.Option("--config", "-c", help="YAML training settings.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, for example output=run start=tiny")
    ] = None,
    pack: Annotated[
        Path | None, typer.Option(help="Only pack the photos that train into this tar file.")
    ] = None,
) -> int:
    """Train a small SAM on scenes, labelled photos or by distillation. Run again to resume."""
    from dataclasses import asdict

    from samseg.lab.pretraining.run import pack_photos
    from samseg.lab.pretraining.run import pretrain as train
    from samseg.lab.pretraining.settings import Pretraining

    settings = configs.load_as(Pretraining, config, overrides or ())
    if pack is not None:
        photos = pack_photos(settings, pack, for_terminal())
        typer.echo(json.dumps({"samseg": "pack", "exit": 0, "photos": photos}))
        return 0
    trained = train(settings, for_terminal())
    typer.echo(json.dumps({"samseg": "pretrain", "exit": 0} | asdict(trained)))
    return 0


app.add_typer(evaluations, name="eval", help="Measure checkpoints and classes on labelled photos.")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    try:
        app(args=None if argv is None else list(argv), prog_name="samseg")
    except Exception:  # a bug: show the traceback, and do not exit with the code of a success
        traceback.print_exc()
        typer.echo(json.dumps({"samseg": None, "exit": SamsegError.exit_code, "error": "defect"}))
        sys.exit(SamsegError.exit_code)


if __name__ == "__main__":
    main()
