"""The command `samseg segment`. Importing this module loads no torch."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from samseg.errors import ConfigError
from samseg.terminal import Terminal, on_terminal

_NOTHING_FOUND = 1
"""Exit code if there are no masks or no classes, like that of a night with failed images."""

PointLabels = Annotated[
    list[int] | None,
    typer.Option(
        metavar="1|0",
        help="1: the point is inside the object, 0: outside. One per --point; all are inside by "
        "default.",
        min=0,
        max=1,
    ),
]


@on_terminal
def segment(
    terminal: Terminal,
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="Path or URL of an image file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SECTION.KEY=VALUE",
            help="Settings of the sections decode, model, masks, pooling and cluster, as in a "
            "config: model.checkpoint=vit_h masks.points_per_side=16",
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,X,Y", help="Segment the object in this box: left,top,right,bottom in px."
        ),
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y",
            help="Segment the object at this point, in px; repeat for several points of one "
            "object. A single point gives three masks with their scores.",
        ),
    ] = None,
    label: PointLabels = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Refine a mask: a .npz that this command wrote for a prompt, a .npy of logits, or "
            "a PNG of the photo's size, black outside the mask.",
        ),
    ] = None,
    classes: Annotated[
        bool, typer.Option("--classes", help="Group the masks of the photo into classes.")
    ] = False,
    figure: Annotated[
        Literal["overlay", "scores", "triptych"] | None,
        typer.Option(
            help="What FILE.png shows. overlay: all masks over the photo. scores: each mask of the "
            "prompt with its score. triptych: the photo, the map and the cut-out of the largest "
            "class or best mask. Default: triptych with --classes, scores for a single point, "
            "overlay otherwise.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write a figure (.png), one dict per mask as in SAM (.json), or arrays (.npz).",
        ),
    ] = None,
) -> int:
    """Segment one photo: all its masks, its classes, or the object at a prompt.

    Exits with 1 if no mask or no class is found.
    """
    from samseg.picture.prompt import Prompt
    from samseg.picture.settings import PictureSettings

    settings = PictureSettings.of(overrides or ())
    prompt = Prompt.parse(box, point or (), label or (), mask)
    if prompt is not None and classes:
        raise ConfigError(
            "--classes groups all masks of a photo, but a prompt segments a single object; leave "
            "out --classes, or --box, --point and --mask"
        )
    if figure is not None and (output is None or output.suffix != ".png"):
        given = "no -o" if output is None else f"-o {output}"
        raise ConfigError(f"--figure {figure} needs -o FILE.png, got {given}")

    from samseg.picture.figure import choose
    from samseg.picture.files import check_path, write
    from samseg.picture.notes import line, notes
    from samseg.picture.prediction import predict
    from samseg.readers.photo import read_photo

    drawn = choose(figure, prompt, classes)
    if output is not None:
        check_path(output)
    found = predict(read_photo(photo, settings.decode).pixels, settings, prompt, classes)
    lines = notes(found, settings)
    if output is None and not found.empty:
        lines.append("add -o FILE.png to see the masks, or -o FILE.json or .npz to keep them")
    if output is not None and not write(found, output, drawn, photo):
        lines.append(f"there is nothing to draw, so {output} is not written")
        output = None
    code = _NOTHING_FOUND if found.empty else 0
    terminal.result(line(found, photo, output, code), lines)
    return code
