"""Measure samseg against `segment_anything`, its stages, and the answers of its review page.

    python jobs/benchmark.py amg photos/*.jpg --points-per-side 16
    python jobs/benchmark.py --precision bfloat16 prompts photos/*.jpg --boxes 200
    python jobs/benchmark.py --repeats 5 --json record.json stages photos/one.jpg
    python jobs/benchmark.py embed photos --actors 1 --actors 2
    python jobs/benchmark.py reduce synthetic --masks 1000000 --sample 200000 --workers 2
    python jobs/benchmark.py review synthetic --masks 1000000

Options before the command apply to all commands. Both sides alternate in one run, so their times
are comparable on the reported machine. Masks are matched one to one by IoU and compared with the
reference's own noise: the reference with another batch size, and with its input perturbed by 1e-6.
Progress goes to standard error, results to standard output.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from samseg.errors import SamsegError
from samseg.printable import printable
from samseg.progress import for_terminal
from samseg.terminal import print_tables

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help=__doc__,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RandomWeights = Annotated[
    Literal["vit_b", "vit_l", "vit_h", "tiny"] | None,
    typer.Option(help="Random weights of this architecture instead of the checkpoint's."),
]
Photos = Annotated[list[Path], typer.Argument(help="Photos.", exists=True, dir_okay=False)]
Points = Annotated[int, typer.Option(help="Points per side of the grid.")]
Crops = Annotated[int, typer.Option(help="Crop layers.")]
Threads = Annotated[int, typer.Option(help="CPU threads of both sides; 0: PyTorch's default.")]
Noise = Annotated[bool, typer.Option(help="Also compare the reference with itself.")]
Memory = Annotated[bool, typer.Option("--memory", help="Also measure each side's peak memory.")]


@dataclass(frozen=True, slots=True)
class CommonOptions:
    """Options before the command; see `common`."""

    checkpoint: str
    precision: Literal["float32", "bfloat16"]
    compiled: bool
    device: Literal["auto", "cpu", "cuda"]
    repeats: int
    json: Path | None
    markdown: bool


@app.callback()
def common(
    context: typer.Context,
    checkpoint: Annotated[
        str, typer.Option(help="tiny, vit_b, vit_l, vit_h, a path or a URL.")
    ] = "tiny",
    precision: Annotated[
        Literal["float32", "bfloat16"], typer.Option(help="Of samseg; the reference uses float32.")
    ] = "float32",
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Run samseg with torch.compile.")
    ] = False,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Device of both sides.")
    ] = "auto",
    repeats: Annotated[int, typer.Option(help="Runs of each side, alternating.", min=1)] = 3,
    json: Annotated[Path | None, typer.Option(help="Write everything to this file.")] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print rows for the README instead.")
    ] = False,
) -> None:
    """Store the options that all commands share."""
    context.obj = CommonOptions(checkpoint, precision, compiled, device, repeats, json, markdown)


@app.command()
def amg(
    context: typer.Context,
    photos: Photos,
    random_weights: RandomWeights = None,
    points_per_side: Points = 32,
    crops: Crops = 0,
    adaptive: Annotated[
        bool, typer.Option("--adaptive", help="Use adaptive point sampling in samseg.")
    ] = False,
    threads: Threads = 0,
    noise: Noise = True,
    memory: Memory = False,
) -> None:
    """Compare automatic masks and their time with those of `SamAutomaticMaskGenerator`."""
    from samseg.lab.benchmark.tasks import AutomaticTask
    from samseg.sam.settings import AdaptivePoints, GridPoints, MaskSettings

    settings = MaskSettings(
        points=AdaptivePoints() if adaptive else GridPoints(),
        points_per_side=points_per_side,
        crop_n_layers=crops,
    )
    subject = _subject(context.obj, random_weights, settings, threads)
    _compare(context, AutomaticTask(), subject, photos, noise, memory)


@app.command()
def prompts(
    context: typer.Context,
    photos: Photos,
    random_weights: RandomWeights = None,
    boxes: Annotated[int, typer.Option(help="Random boxes per photo.")] = 128,
    threads: Threads = 0,
    noise: Noise = True,
    memory: Memory = False,
) -> None:
    """Compare box prompts and their time with `SamPredictor.predict_torch`, including encoding."""
    from samseg.lab.benchmark.tasks import BoxTask
    from samseg.sam.settings import MaskSettings

    subject = _subject(context.obj, random_weights, MaskSettings(), threads)
    _compare(context, BoxTask(boxes=boxes), subject, photos, noise, memory)


@app.command()
def stages(
    context: typer.Context,
    photo: Annotated[Path, typer.Argument(help="A photo.", exists=True, dir_okay=False)],
    random_weights: RandomWeights = None,
    points_per_side: Points = 16,
    crops: Crops = 0,
) -> None:
    """Compare the stages of automatic mask generation on one thread, in ms per image or prompt."""
    from samseg.lab.benchmark.breakdown import break_down
    from samseg.sam.settings import MaskSettings

    settings = MaskSettings(points_per_side=points_per_side, crop_n_layers=crops)
    record = break_down(
        _subject(context.obj, random_weights, settings, threads=1),
        photo,
        repeats=context.obj.repeats,
        command=_command(context),
        progress=for_terminal(),
    )
    _show(record, context.obj)


@app.command()
def embed(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Photos.", exists=True, file_okay=False)],
    points_per_side: Points = 4,
    images: Annotated[int, typer.Option(help="Maximum number of photos.")] = 48,
    images_per_shard: Annotated[int, typer.Option(help="Photos per shard.")] = 4,
    actors: Annotated[list[int], typer.Option(help="Workers; may be repeated.")] = [1, 2],  # noqa: B006
    threads: Annotated[int, typer.Option(help="CPU threads of each worker.", min=1)] = 1,
) -> None:
    """Compare the embed stage on Ray with a plain loop over the same segmenter."""
    from samseg.lab.benchmark.embed_stage import Lake, compare_embed
    from samseg.sam.settings import MaskSettings, ModelSpec

    options: CommonOptions = context.obj
    record = compare_embed(
        Lake(folder=str(folder), images=images, images_per_shard=images_per_shard),
        ModelSpec(
            checkpoint=options.checkpoint,
            device=options.device,
            precision=options.precision,
            compile=options.compiled,
        ),
        MaskSettings(points_per_side=points_per_side),
        actors=actors,
        threads=threads,
        repeats=options.repeats,
        command=_command(context),
        progress=for_terminal(),
    )
    _show(record, options)


@app.command()
def embedding(
    context: typer.Context,
    photos: Photos,
    points_per_side: Points = 16,
    long_side: Annotated[int, typer.Option(help="px: 640 or 1024.")] = 640,
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 1,
    memory: Memory = False,
) -> None:
    """Compare the cost of the default named embedding with that of masks and SAM's embeddings."""
    from samseg.features import EfficientNetLite0Embedding
    from samseg.lab.benchmark.embedding_cost import embedding_cost
    from samseg.sam.settings import MaskSettings

    record = embedding_cost(
        _subject(context.obj, None, MaskSettings(points_per_side=points_per_side), threads),
        EfficientNetLite0Embedding.model_validate({"long_side": long_side}),
        photos,
        repeats=context.obj.repeats,
        memory=memory,
        command=_command(context),
        progress=for_terminal(),
    )
    _show(record, context.obj)


@app.command()
def reduce(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Where synthetic output folders are made.")],
    masks: Annotated[list[int], typer.Option(help="Masks of a folder; may be repeated.")] = [  # noqa: B006
        100_000
    ],
    sample: Annotated[list[int], typer.Option(help="Size of the fit sample; may be repeated.")] = [  # noqa: B006
        20_000
    ],
    workers: Annotated[
        list[int], typer.Option(help="CPU workers, 0 for none but this process; may be repeated.")
    ] = [0, 2],  # noqa: B006
    exports: Annotated[bool, typer.Option("--export", help="Also export to COCO.")] = False,
) -> None:
    """Measure refits, assigning nights, status, report and exports over synthetic tables."""
    from samseg.lab.benchmark.reduce.stages import measure_reduce

    folder.mkdir(parents=True, exist_ok=True)
    record = measure_reduce(
        folder,
        masks=masks,
        samples=sample,
        workers=workers,
        exports=exports,
        command=_command(context),
        progress=for_terminal(),
    )
    _show(record, context.obj)


@app.command()
def review(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Where a synthetic output folder is made.")],
    masks: Annotated[int, typer.Option(help="Masks of the folder.", min=5_000)] = 1_000_000,
    requests: Annotated[int, typer.Option(help="Requests of each kind.", min=1)] = 20,
) -> None:
    """Measure how long the pages and forms of `samseg review` take."""
    from samseg.lab.benchmark.review.routes import measure_review

    folder.mkdir(parents=True, exist_ok=True)
    record = measure_review(
        folder,
        masks=masks,
        repeats=requests,
        command=_command(context),
        progress=for_terminal(),
    )
    _show(record, context.obj)


def _subject(options: CommonOptions, random_weights: Any, settings: Any, threads: int) -> Any:
    from samseg.lab.benchmark.subject import Subject

    return Subject(
        checkpoint=options.checkpoint,
        random=random_weights,
        settings=settings,
        precision=options.precision,
        compiled=options.compiled,
        device=options.device,
        threads=threads or None,
    )


def _compare(
    context: typer.Context, task: Any, subject: Any, photos: list[Path], noise: bool, memory: bool
) -> None:
    """Run a task on both sides and show the comparison."""
    from samseg.lab.benchmark.comparison import compare

    record = compare(
        task,
        subject,
        photos,
        repeats=context.obj.repeats,
        noise=noise,
        memory=memory,
        command=_command(context),
        progress=for_terminal(),
    )
    _show(record, context.obj)


def _command(context: typer.Context) -> str:
    """Return the command with its given options, except those of the output."""
    (argument,) = (p for p in context.command.params if p.param_type_name == "argument")
    words = [*_options(context.parent), context.command.name, argument.name.upper()]
    return " ".join([*words, *_options(context)])


def _options(context: typer.Context) -> list[str]:
    """Return the given options as typed on the command line."""
    words: list[str] = []
    for option in context.command.params:
        source = context.get_parameter_source(option.name)
        output = option.name in ("json", "markdown")
        if option.param_type_name != "option" or source.name != "COMMANDLINE" or output:
            continue
        value = context.params[option.name]
        if isinstance(value, bool):
            words += (option.opts if value else option.secondary_opts)[:1]
        else:
            values = value if isinstance(value, list | tuple) else [value]
            words += [word for v in values for word in (option.opts[0], str(v))]
    return words


def _show(record: Any, options: CommonOptions) -> None:
    from samseg.lab.benchmark import report

    if options.json is not None:
        options.json.write_text(record.model_dump_json(indent=2))
    if options.markdown:
        typer.echo(printable(report.markdown(record)))
    else:
        print_tables(report.tables(record), stderr=False, width=110)


if __name__ == "__main__":
    try:
        app()
    except SamsegError as e:
        sys.stderr.write(f"{e}\n")
        sys.exit(e.exit_code)
