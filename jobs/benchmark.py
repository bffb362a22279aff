"""Measure samseg against `segment_anything`, and its embed stage against a bare loop.

    python jobs/benchmark.py amg photos/*.jpg --points-per-side 16
    python jobs/benchmark.py prompts photos/*.jpg --boxes 200
    python jobs/benchmark.py stages photos/one.jpg
    python jobs/benchmark.py embed photos --actors 1 --actors 2

Both sides run in turn in one run, so times are ratios on the machine that is named. Masks are
compared one to one by IoU, next to the reference's own noise: itself with other batches, and with
its input moved by 1e-6. Progress goes to standard error, results to standard output.
"""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from samseg.errors import SamsegError
from samseg.progress import for_terminal

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help=__doc__,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Photos = Annotated[list[Path], typer.Argument(help="Photos.", exists=True, dir_okay=False)]
Photo = Annotated[Path, typer.Argument(help="A photo.", exists=True, dir_okay=False)]
Checkpoint = Annotated[str, typer.Option(help="tiny, vit_b, vit_l, vit_h, a path or a URL.")]
RandomWeights = Annotated[
    Literal["vit_b", "vit_l", "vit_h", "tiny"] | None,
    typer.Option(help="Random weights of this architecture instead of a checkpoint."),
]
Precision = Annotated[
    Literal["float32", "bfloat16"], typer.Option(help="Of samseg; the reference has float32.")
]
Adaptive = Annotated[bool, typer.Option("--adaptive", help="Let samseg ask adaptive points.")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where both sides run.")]
Threads = Annotated[int, typer.Option(help="CPU threads of both sides; 0: PyTorch's choice.")]
Repeats = Annotated[int, typer.Option(help="Runs of each side, in turn.", min=1)]
Points = Annotated[int, typer.Option(help="Points along one side of the image.")]
Crops = Annotated[int, typer.Option(help="Crop layers.")]
Noise = Annotated[bool, typer.Option(help="Also compare the reference with itself.")]
Memory = Annotated[bool, typer.Option("--memory", help="Also measure each side's peak memory.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write everything to this file.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print rows for the README instead.")]


@app.command()
def amg(
    context: typer.Context,
    images: Photos,
    checkpoint: Checkpoint = "tiny",
    random_weights: RandomWeights = None,
    points_per_side: Points = 32,
    crops: Crops = 0,
    adaptive: Adaptive = False,
    precision: Precision = "float32",
    device: Device = "auto",
    threads: Threads = 0,
    repeats: Repeats = 3,
    noise: Noise = True,
    memory: Memory = False,
    json: Json = None,
    markdown: Markdown = False,
) -> None:
    """Compare automatic masks and their time with `SamAutomaticMaskGenerator`."""
    from samseg.benchmark.comparison import compare
    from samseg.benchmark.subject import Subject
    from samseg.benchmark.tasks import Automatic

    subject = Subject(
        checkpoint=checkpoint,
        random=random_weights,
        settings=_mask_settings(points_per_side, crops, adaptive),
        precision=precision,
        device=device,
        threads=threads or None,
    )
    record = compare(
        Automatic(),
        subject,
        images,
        repeats=repeats,
        noise=noise,
        memory=memory,
        command=_command(context),
        progress=for_terminal(),
    )
    _show(record, json, markdown)


@app.command()
def prompts(
    context: typer.Context,
    images: Photos,
    checkpoint: Checkpoint = "tiny",
    random_weights: RandomWeights = None,
    boxes: Annotated[int, typer.Option(help="Random boxes per photo.")] = 128,
    precision: Precision = "float32",
    device: Device = "auto",
    threads: Threads = 0,
    repeats: Repeats = 3,
    noise: Noise = True,
    memory: Memory = False,
    json: Json = None,
    markdown: Markdown = False,
) -> None:
    """Compare box prompts and their time with `SamPredictor.predict_torch`, encoding included."""
    from samseg.benchmark.comparison import compare
    from samseg.benchmark.subject import Subject
    from samseg.benchmark.tasks import Boxes

    subject = Subject(
        checkpoint=checkpoint,
        random=random_weights,
        precision=precision,
        device=device,
        threads=threads or None,
    )
    record = compare(
        Boxes(boxes=boxes),
        subject,
        images,
        repeats=repeats,
        noise=noise,
        memory=memory,
        command=_command(context),
        progress=for_terminal(),
    )
    _show(record, json, markdown)


@app.command()
def stages(
    context: typer.Context,
    image: Photo,
    checkpoint: Checkpoint = "tiny",
    random_weights: RandomWeights = None,
    points_per_side: Points = 16,
    crops: Crops = 0,
    adaptive: Adaptive = False,
    precision: Precision = "float32",
    device: Device = "auto",
    repeats: Repeats = 3,
    json: Json = None,
    markdown: Markdown = False,
) -> None:
    """Compare the stages of automatic mask generation, in ms per image or prompt."""
    from samseg.benchmark.stages import compare_stages
    from samseg.benchmark.subject import Subject

    subject = Subject(
        checkpoint=checkpoint,
        random=random_weights,
        settings=_mask_settings(points_per_side, crops, adaptive),
        precision=precision,
        device=device,
    )
    record = compare_stages(
        subject,
        image,
        repeats=repeats,
        command=_command(context),
        progress=for_terminal(),
    )
    _show(record, json, markdown)


@app.command()
def embed(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Photos.", exists=True, file_okay=False)],
    checkpoint: Checkpoint = "tiny",
    points_per_side: Points = 4,
    images: Annotated[int, typer.Option(help="Photos at most.")] = 48,
    images_per_shard: Annotated[int, typer.Option(help="Photos in one shard.")] = 4,
    actors: Annotated[list[int], typer.Option(help="Workers; may be repeated.")] = [1, 2],  # noqa: B006
    precision: Precision = "float32",
    device: Device = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads of each worker.", min=1)] = 1,
    repeats: Repeats = 1,
    json: Json = None,
    markdown: Markdown = False,
) -> None:
    """Compare the embed stage through Ray with a bare loop of the same segmenter."""
    from samseg.benchmark.embed_stage import Lake, compare_embed
    from samseg.sam.settings import MaskSettings, ModelSpec

    record = compare_embed(
        Lake(folder=str(folder), images=images, images_per_shard=images_per_shard),
        ModelSpec(checkpoint=checkpoint, device=device, precision=precision),
        MaskSettings(points_per_side=points_per_side),
        actors=actors,
        threads=threads,
        repeats=repeats,
        command=_command(context),
        progress=for_terminal(),
    )
    _show(record, json, markdown)


def _mask_settings(points_per_side: int, crops: int, adaptive: bool) -> Any:
    from samseg.sam.settings import AdaptivePoints, GridPoints, MaskSettings

    points = AdaptivePoints() if adaptive else GridPoints()
    return MaskSettings(points=points, points_per_side=points_per_side, crop_n_layers=crops)


def _command(context: typer.Context) -> str:
    """Return the command with the options that were given, but for those of the output."""
    words = [context.command.name, "PHOTOS"]
    for option in context.command.params:
        source = context.get_parameter_source(option.name)
        output = option.name in ("json", "markdown", "memory")
        if option.param_type_name != "option" or source.name != "COMMANDLINE" or output:
            continue
        given = context.params[option.name]
        if isinstance(given, bool):
            words += (option.opts if given else option.secondary_opts)[:1]
        else:
            values = given if isinstance(given, list | tuple) else [given]
            words += [word for value in values for word in (option.opts[0], str(value))]
    return " ".join(words)


def _show(record: Any, json: Path | None, markdown: bool) -> None:
    from rich.console import Console

    from samseg.benchmark import report

    if json is not None:
        json.write_text(record.model_dump_json(indent=2))
    if markdown:
        typer.echo(report.markdown(record))
    else:
        Console(width=110).print(*report.tables(record), sep="\n", highlight=False)


if __name__ == "__main__":
    try:
        app()
    except SamsegError as e:
        sys.stderr.write(f"{e}\n")
        sys.exit(e.exit_code)
