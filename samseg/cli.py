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
def export(config: ConfigPath, overrides: Overrides = None) -> int:
    """Write the exports of the config from the tables."""
    return _stages("export", config, overrides, lambda n: n.export())


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


evaluations = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(evaluations, name="eval", help="Measure checkpoints and classes on labelled photos.")


@evaluations.command()
def masks(
    sets: Annotated[list[Path], typer.Argument(help="Labelled sets; see samseg/lab/labelled.py.")],
    model: Annotated[
        list[str], typer.Option(help="tiny, vit_b, vit_l, vit_h, a path or a URL; may be repeated.")
    ] = ["tiny"],  # noqa: B006
    held_out: Annotated[
        float | None,
        typer.Option(
            help="Only photos that a training run with this `held_out` did not use.",
            min=0.001,
            max=0.999,
        ),
    ] = None,
    photos: Annotated[
        int | None, typer.Option(help="Photos per set, the first by name.", min=1)
    ] = None,
    segments: Annotated[
        int, typer.Option(help="Prompted segments per photo, at most.", min=1)
    ] = 12,
    seed: Annotated[int, typer.Option(help="Seed of the choice of segments.", min=0)] = 0,
    points_per_side: Annotated[
        int, typer.Option(help="Point grid of automatic masks.", min=1)
    ] = 16,
    automatic_photos: Annotated[
        int, typer.Option(help="Photos per set for automatic masks, at most.", min=0)
    ] = 6,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything to this file.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a Markdown table instead.")
    ] = False,
) -> int:
    """Compare checkpoints: clicks, boxes, automatic masks, predicted IoU, classes, speed."""
    from rich.console import Console

    from samseg.lab.evaluation.masks import report
    from samseg.lab.evaluation.masks.measure import evaluate
    from samseg.lab.evaluation.masks.record import Protocol
    from samseg.lab.labelled import LabelledSet

    protocol = Protocol(
        held_out=held_out,
        photos=photos,
        segments=segments,
        seed=seed,
        points_per_side=points_per_side,
        automatic_photos=automatic_photos,
    )
    record = evaluate([LabelledSet(s) for s in sets], model, protocol, for_terminal())
    if json_file is not None:
        json_file.write_text(record.model_dump_json(indent=2), encoding="utf-8")
    if markdown:
        typer.echo(report.markdown(record))
        return 0
    Console(stderr=True).print(*report.tables(record), sep="\n")
    best = {m.model: {s.name: s.best for s in m.sets} for m in record.models}
    typer.echo(json.dumps({"samseg": "eval masks", "exit": 0, "one_click_best": best}))
    return 0


@evaluations.command()
def classes(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Labelled sets (see samseg/lab/labelled.py), or one output folder with --truth."
        ),
    ],
    truth: Annotated[
        Path | None,
        typer.Option(help="Labels of the output folder's images: a COCO file or a labelled set."),
    ] = None,
    codebook: Annotated[
        int | None, typer.Option(help="Codebook of the output folder; the newest by default.")
    ] = None,
    embedding: Annotated[
        list[str] | None,
        typer.Option(
            help="Another embedding of labelled sets, as a kind or as in a config: "
            "'{kind: timm, name: ..., model: ...}'; may be repeated."
        ),
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(help="How classes are found, likewise: hdbscan, '{kind: linkage, ...}'."),
    ] = None,
    oracle: Annotated[
        bool, typer.Option(help="The true segments as masks, or automatic masks of tiny.")
    ] = True,
    work: Annotated[
        Path, typer.Option(help="Where automatic masks are written, and found by later runs.")
    ] = Path("samseg-eval"),
    photos: Annotated[
        int | None, typer.Option(help="Photos per set, the first by name.", min=1)
    ] = None,
    segments: Annotated[
        int, typer.Option(help="True segments per photo, the largest ones.", min=1)
    ] = 12,
    min_area: Annotated[
        float, typer.Option(help="Fraction of the photo that they cover.", min=0, max=0.999)
    ] = 0.002,
    min_segments: Annotated[
        int, typer.Option(help="True segments that a category needs.", min=1)
    ] = 8,
    draws: Annotated[
        int, typer.Option(help="Fits to 70 % of the photos, for stability and new photos.", min=0)
    ] = 10,
    resamples: Annotated[
        int, typer.Option(help="Bootstrap resamples of the photos.", min=0)
    ] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of draws and resamples.", min=0)] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything to this file.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the classes of the last row against the categories.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown tables instead.")
    ] = False,
) -> int:
    """Compare classes found without labels with the labels: embeddings, fits, whole folders."""
    import yaml
    from rich.console import Console

    from samseg.lab.evaluation.classes import report
    from samseg.lab.evaluation.classes.evaluate import evaluate, evaluate_output
    from samseg.lab.evaluation.classes.record import Protocol
    from samseg.lab.evaluation.classes.rows import Compared

    def settings(text: str) -> Any:
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError as e:
            raise ConfigError(f"{text!r} is not valid YAML: {e}") from e
        return {"kind": found} if isinstance(found, str) else found

    tree: dict[str, Any] = {"embeddings": [settings(e) for e in embedding or ()]}
    compared = configs.parse_as(
        Compared, tree if fit is None else tree | {"fit": settings(fit)}, (), "command line"
    )
    protocol = Protocol(
        photos=photos,
        segments=segments,
        min_area=min_area,
        min_segments=min_segments,
        draws=draws,
        resamples=resamples,
        seed=seed,
    )
    progress = for_terminal()
    if truth is not None and len(sources) != 1:
        raise ConfigError(f"--truth has the labels of one output folder, got {len(sources)}")
    if truth is not None and embedding:
        raise ConfigError(
            "--embedding is for labelled sets; of an output folder, all embeddings that it has are "
            "compared, and `samseg describe` adds others"
        )
    if truth is None:
        kept = None if oracle else work
        record = evaluate([Path(s) for s in sources], compared, protocol, progress, kept, picture)
    else:
        record = evaluate_output(sources[0], truth, codebook, compared, protocol, progress, picture)
    if json_file is not None:
        json_file.write_text(record.model_dump_json(indent=2), encoding="utf-8")
    if markdown:
        typer.echo(report.markdown(record))
        return 0
    Console(stderr=True).print(*report.tables(record), sep="\n")
    ami = {s.name: {row.name: row.free.ami for row in s.rows} for s in record.sets}
    typer.echo(json.dumps({"samseg": "eval classes", "exit": 0, "ami": ami}))
    return 0


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
