"""The `samseg` command.

Progress, notes and errors go to standard error; results go to standard output: lines for a person
on a terminal, otherwise or with `--json` one JSON object as the last line. Exit codes: 0 done, 1
done with failed images or shards given up, 2 a mistake in the config or the command, 3 the command
could not continue.
"""

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import samseg
from samseg.commands import deletion, night, start, tables, training
from samseg.commands.classes import classes
from samseg.commands.corrections import import_
from samseg.commands.drift import drift
from samseg.commands.find import find
from samseg.commands.options import LAB, LABEL, NIGHTLY, RESULTS, examples
from samseg.commands.review import review
from samseg.doctor.command import doctor
from samseg.errors import SamsegError, one_line
from samseg.exit_codes import ExitCodes
from samseg.given_once import Commands
from samseg.lab.evaluation.commands import evaluations
from samseg.picture.commands import segment
from samseg.terminal import Terminal, traceback_of

app = Commands(
    cls=ExitCodes,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog=examples(
        ("samseg label photos", "labels a folder of photos"),
        ("samseg label s3://bucket/photos -o s3://bucket/labels", "the same on S3"),
        ("samseg COMMAND --help", "options and examples of a command"),
    ),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"samseg {samseg.__version__}")
        raise typer.Exit


@app.callback()
def _samseg(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Label image lakes with Segment Anything: masks, embeddings and stable classes.

    Exit codes: 0 done, 1 done with failed images, 2 a mistake in the config or the command, 3 the
    command could not continue.
    """


app.command(
    rich_help_panel=LABEL,
    epilog=examples(
        ("samseg label photos", "masks, classes and the report page in photos-labels"),
        ("samseg label photos -o labels masks.points_per_side=32", "more prompts, smaller objects"),
        ("samseg label photos model.checkpoint=vit_h", "SAM's largest model"),
        ("samseg label 'tars/*.tar' 'exports=[yolo]'", "images in tars, labels for Ultralytics"),
    ),
)(start.label)
app.command(
    "try",
    rich_help_panel=LABEL,
    epilog=examples(
        ("samseg try photos", "six photos with the default settings"),
        ("samseg try photos masks.points_per_side=24", "beside the last try"),
        ("samseg try photos --images 2 model.checkpoint=vit_b", "another model"),
    ),
)(start.try_)
app.command(
    rich_help_panel=LABEL,
    epilog=examples(
        ("samseg segment photo.jpg -o masks.png", "all masks of one photo"),
        ("samseg segment photo.jpg --point 320,240 -o masks.png", "three masks of one object"),
        ("samseg segment photo.jpg --box 80,60,420,300 -o object.json", "the object in a box"),
        ("samseg segment photo.jpg --classes -o classes.png", "classes within the photo"),
    ),
)(segment)
app.command(
    rich_help_panel=LABEL, epilog=examples(("samseg demo", "one to two minutes on two CPU cores"))
)(start.demo)
app.command(
    rich_help_panel=NIGHTLY,
    epilog=examples(
        ("samseg init", "writes samseg.yaml for this machine"),
        ("samseg init night.yaml --kind cluster", "for a GPU cluster and an S3 lake"),
    ),
)(start.init)
app.command(
    rich_help_panel=NIGHTLY,
    epilog=examples(
        ("samseg nightly -c samseg.yaml", "labels what is new, or resumes"),
        ("samseg nightly -c samseg.yaml --retry-quarantined", "tries the shards given up again"),
        ("samseg nightly -c samseg.yaml --retry-failed undecodable", "after decoders were added"),
        ("samseg nightly -c samseg.yaml cluster.granularity=0.7", "finer classes"),
    ),
)(night.nightly)
for stage in (night.plan, night.embed, night.describe, night.cluster, night.export, night.report):
    app.command(rich_help_panel=NIGHTLY)(stage)
app.command(
    rich_help_panel=RESULTS, epilog=examples(("samseg status labels", "also of a running night"))
)(tables.status)
app.command(
    rich_help_panel=RESULTS,
    epilog=examples(
        (
            'samseg query -o labels "select name, count(*) from labels group by all"',
            "masks per class",
        ),
        (
            "samseg query -o labels \"select * from nearest('MASK_ID', 10)\"",
            "the masks most similar to one",
        ),
    ),
)(tables.query)
app.add_typer(
    classes,
    name="classes",
    rich_help_panel=RESULTS,
    help="Name, merge, split, ignore and correct classes.",
    epilog=examples(
        ("samseg classes labels list", "ids, masks and names"),
        ('samseg classes labels name 3 "hazel nut"', "everything shows the name from now on"),
        ("samseg classes labels merge 5 7 --into 3", "one class; 3 keeps its id and its name"),
        ("samseg classes labels undo 2", "takes the second edit back"),
    ),
)
app.command(
    "import",
    rich_help_panel=RESULTS,
    epilog=examples(
        ("samseg import labels instances.json --dry-run", "says what would be changed"),
        ("samseg import labels instances.json --author ann", "takes it over"),
    ),
)(import_)
app.command(
    rich_help_panel=RESULTS,
    epilog=examples(
        ("samseg find labels photo.jpg --box 80,60,420,300", "what is like the object in a photo"),
        ("samseg find labels --mask MASK --name crack", "keep it, and what is like it, as a class"),
        ("samseg find labels --name crack --accept MASK --reject MASK", "refine that class"),
    ),
)(find)
app.command(
    rich_help_panel=RESULTS,
    epilog=examples(
        ("samseg review labels", "prints the URL of a page on this machine"),
        ("samseg review labels --open --author ann", "opens it, and signs the edits"),
        ("samseg review s3://bucket/labels --port 9000", "classes of a bucket"),
    ),
)(review)
app.command(
    rich_help_panel=RESULTS,
    epilog=examples(
        ("samseg drift labels", "the last nights in a table"),
        ("samseg drift labels --fail-on 'noise>0.5,new_classes>20'", "a gate for a scheduler"),
    ),
)(drift)
app.command(
    rich_help_panel=RESULTS,
    epilog=examples(
        ("samseg doctor labels", "checks the store, and all objects by name and size"),
        ("samseg doctor labels --deep --repair", "reads all, and moves damaged parts aside"),
    ),
)(doctor)
app.command(
    rich_help_panel=RESULTS,
    epilog=examples(
        ("samseg prune labels", "says what earlier codebooks take"),
        ("samseg prune labels --keep-codebooks 1 --yes", "deletes all of it but the newest's"),
    ),
)(deletion.prune)
app.command(
    rich_help_panel=RESULTS,
    epilog=examples(
        ("samseg forget labels 2024/party.jpg", "says what there is of a photo"),
        ("samseg forget labels a.tar/0.jpg a.tar/1.jpg --yes", "erases two images of a tar"),
    ),
)(deletion.forget)
app.command(rich_help_panel=LAB)(training.pretrain)
app.add_typer(
    evaluations,
    name="eval",
    rich_help_panel=LAB,
    help="Measure checkpoints and classes on labelled photos.",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may have characters that it cannot encode
            stream.reconfigure(errors="backslashreplace")
    try:
        app(args=None if argv is None else list(argv), prog_name="samseg")
    except SystemExit:
        raise
    except BaseException as e:  # a bug, or a panic of a library: not the code of a success
        sys.stderr.write(traceback_of(e))
        Terminal().ended(None, SamsegError.exit_code, "defect", one_line(e))
        sys.exit(SamsegError.exit_code)


if __name__ == "__main__":
    main()
