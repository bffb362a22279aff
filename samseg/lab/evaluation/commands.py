"""The commands of `samseg eval`: `masks`, `thresholds`, `classes` and `examples`.

Importing this module loads neither torch nor the evaluations.
"""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from samseg.errors import ConfigError
from samseg.given_once import Commands
from samseg.printable import printable
from samseg.terminal import Terminal, on_terminal, print_tables

evaluations = Commands(no_args_is_help=True)
_on_terminal = partial(on_terminal, json_option=False)  # `--json FILE` is theirs


Sets = Annotated[list[Path], typer.Argument(help="Labelled sets; see samseg/lab/labelled.py.")]
HeldOut = Annotated[
    float | None,
    typer.Option(
        help="Only photos that a training run with this `held_out` did not use.",
        min=0.001,
        max=0.999,
    ),
]
Photos = Annotated[int | None, typer.Option(help="Photos per set, the first by name.", min=1)]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write everything to this file.")]


@evaluations.command()
@_on_terminal
def masks(
    terminal: Terminal,
    sets: Sets,
    model: Annotated[
        list[str], typer.Option(help="tiny, vit_b, vit_l, vit_h, a path or a URL; may be repeated.")
    ] = ["tiny"],  # noqa: B006
    held_out: HeldOut = None,
    photos: Photos = None,
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
    json_file: JsonFile = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a Markdown table instead.")
    ] = False,
) -> int:
    """Compare checkpoints: clicks, boxes, automatic masks, predicted IoU, classes, speed."""
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
    record = evaluate([LabelledSet(s) for s in sets], model, protocol, terminal.progress)
    if json_file is not None:
        json_file.write_text(record.model_dump_json(indent=2), encoding="utf-8")
    if markdown:
        typer.echo(printable(report.markdown(record)))
        return 0
    print_tables(report.tables(record))
    best = {m.model: {s.name: s.best for s in m.sets} for m in record.models}
    terminal.result({"samseg": "eval masks", "exit": 0, "one_click_best": best})
    return 0


@evaluations.command()
@_on_terminal
def thresholds(
    terminal: Terminal,
    sets: Sets,
    model: Annotated[
        str, typer.Option(help="tiny, vit_b, vit_l, vit_h, a path or a URL.")
    ] = "tiny",
    held_out: HeldOut = None,
    photos: Photos = None,
    points_per_side: Annotated[int, typer.Option(help="Point grid.", min=1)] = 16,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the scores of all pairs to this file.")
    ] = None,
) -> int:
    """Find pred_iou_thresh and stability_score_thresh for a checkpoint: recall against masks."""
    from samseg.lab.evaluation.masks.report import thresholds_table
    from samseg.lab.evaluation.masks.thresholds import compare_thresholds, recommended
    from samseg.lab.labelled import LabelledSet

    scores = compare_thresholds(
        [LabelledSet(s) for s in sets], model, terminal.progress, points_per_side, held_out, photos
    )
    if json_file is not None:
        rows = [s.model_dump() for s in scores]
        json_file.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    print_tables([thresholds_table(scores)])
    best = recommended(scores)
    names = ("pred_iou_thresh", "stability_score_thresh")
    chosen = {name: getattr(best, name) for name in names}
    terminal.result({"samseg": "eval thresholds", "exit": 0, "recommended": chosen})
    return 0


@evaluations.command()
@_on_terminal
def classes(
    terminal: Terminal,
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
    photos: Photos = None,
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
    json_file: JsonFile = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the classes of the last row against the categories.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown tables instead.")
    ] = False,
) -> int:
    """Compare classes found without labels with the labels: embeddings, fits, whole folders."""
    from samseg import config as configs
    from samseg.lab.evaluation.classes import report
    from samseg.lab.evaluation.classes.evaluate import evaluate, evaluate_output
    from samseg.lab.evaluation.classes.record import ClassProtocol
    from samseg.lab.evaluation.classes.rows import Compared
    from samseg.strict_yaml import read_yaml

    def settings(text: str) -> Any:
        found = read_yaml(text, repr(text))
        return {"kind": found} if isinstance(found, str) else found

    tree: dict[str, Any] = {"embeddings": [settings(e) for e in embedding or ()]}
    compared = configs.parse_as(
        Compared, tree if fit is None else tree | {"fit": settings(fit)}, (), "command line"
    )
    protocol = ClassProtocol(
        photos=photos,
        segments=segments,
        min_area=min_area,
        min_segments=min_segments,
        draws=draws,
        resamples=resamples,
        seed=seed,
    )
    progress = terminal.progress
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
        typer.echo(printable(report.markdown(record)))
        return 0
    print_tables(report.tables(record))
    ami = {s.name: {row.name: row.free.ami for row in s.rows} for s in record.sets}
    terminal.result({"samseg": "eval classes", "exit": 0, "ami": ami})
    return 0


@evaluations.command()
@_on_terminal
def examples(
    terminal: Terminal,
    sets: Sets,
    embedding: Annotated[
        str, typer.Option(help="An embedding, as a kind or as in a config.")
    ] = "efficientnet_lite0",
    photos: Photos = None,
    min_segments: Annotated[
        int, typer.Option(help="True segments that a category needs.", min=1)
    ] = 8,
    draws: Annotated[int, typer.Option(help="Random halves of the photos.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the draws.", min=0)] = 0,
    json_file: JsonFile = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown tables instead.")
    ] = False,
) -> int:
    """Measure how well 1, 3 and 10 examples of a category find its masks in other photos."""
    from pydantic import TypeAdapter, ValidationError

    from samseg.features import NamedEmbedding
    from samseg.lab.evaluation.examples import report
    from samseg.lab.evaluation.examples.measure import evaluate_examples
    from samseg.lab.evaluation.examples.record import ExampleProtocol
    from samseg.strict_yaml import read_yaml

    found = read_yaml(embedding, repr(embedding))
    try:
        spec: NamedEmbedding = TypeAdapter(NamedEmbedding).validate_python(
            {"kind": found} if isinstance(found, str) else found
        )
    except ValidationError as e:
        raise ConfigError(f"--embedding {embedding}: {e.errors()[0]['msg']}") from e
    protocol = ExampleProtocol(photos=photos, min_segments=min_segments, draws=draws, seed=seed)
    record = evaluate_examples(sets, spec, protocol, terminal.progress)
    if json_file is not None:
        json_file.write_text(record.model_dump_json(indent=2), encoding="utf-8")
    if markdown:
        typer.echo(printable(report.example_markdown(record)))
        return 0
    print_tables(report.example_tables(record))
    precision = {
        s.name: {c.accepted: {n: v.mean for n, v in c.precision_of.items()} for c in s.counts}
        for s in record.sets
    }
    terminal.result({"samseg": "eval examples", "exit": 0, "average_precision": precision})
    return 0
