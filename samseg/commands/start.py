"""The first commands: `label`, `try`, `init` and `demo`."""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from samseg.commands.night import run_night
from samseg.commands.options import (
    Lake,
    Moved,
    Overrides,
    Refit,
    Retry,
    RetryFailed,
    statuses_in,
)
from samseg.errors import ConfigError
from samseg.shipped import shipped_configs
from samseg.terminal import Terminal, on_terminal

_KINDS = {"local": "quickstart.yaml", "cluster": "nightly.yaml"}


@on_terminal
def label(
    terminal: Terminal,
    lake: Lake,
    overrides: Overrides = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="The output folder, also s3://, gs:// or az://. By default LAKE-labels in the "
            "current directory.",
            show_default=False,
        ),
    ] = None,
    refit: Refit = False,
    retry_quarantined: Retry = False,
    retry_failed: RetryFailed = None,
    lake_moved: Moved = False,
) -> int:
    """Label the images of a lake: masks, embeddings, classes, exports, a report page.

    No config is needed: this is a night with `configs/quickstart.yaml`. The same command labels
    what is new, and resumes an interrupted run.
    """
    statuses = statuses_in(retry_failed)
    config = config_for(lake, output, overrides or ())
    return run_night(
        terminal,
        "label",
        config,
        lambda n: n.run(refit, retry_quarantined, lake_moved, statuses),
    )


def config_for(lake: str, output: str | None, overrides: "tuple[str, ...] | list[str]") -> Any:
    """Return the config of `samseg label`: `quickstart.yaml` for this lake.

    Args:
        lake: a folder, a URL, or tars (`photos.tar`, `s3://bucket/tars/train-*.tar`).
        output: URI of the output folder; None for one named after the lake.
        overrides: as in `samseg.config.load`.

    Raises:
        ConfigError: an override contains a mistake or names another lake or output folder, or the
            lake is a file that is not a tar.
    """
    import yaml

    from samseg import config as configs
    from samseg.readers.pattern import located
    from samseg.readers.webdataset import TAR_SUFFIXES

    for key, given in (("reader.uri", lake), ("output", output)):
        if given and any(text.partition("=")[0].strip() == key for text in overrides):
            raise ConfigError(f"{key} is given twice: as {given!r} and as an override; keep one")
    local = "://" not in lake
    tars = lake.lower().endswith(TAR_SUFFIXES)
    if local and Path(lake).is_file() and not tars:
        raise ConfigError(f"{lake} is a file; give the folder that contains it, or a tar of images")
    uri = str(Path(lake).absolute()) if local else lake
    tree = yaml.safe_load(shipped_configs()["quickstart.yaml"].read_text(encoding="utf-8"))
    if tars:
        tree["reader"] = {"kind": "webdataset", "uri": uri}
    elif any(text.startswith("reader.kind=") for text in overrides):
        tree["reader"] = {"uri": uri}
    else:
        tree["reader"]["uri"] = uri
    tree["output"] = output or f"{_name_of(located(uri).root if local else uri)}-labels"
    return configs.parse(tree, overrides, source="command line")


def _name_of(uri: str) -> str:
    """Return the last part of a URI that is a name, to name an output folder after a lake."""
    from samseg.readers.webdataset import TAR_SUFFIXES

    parts = [part for part in uri.split("://")[-1].split("?")[0].split("/") if part]
    names = [part for part in parts if not {*"*{"} & {*part}]
    name = names[-1] if names else "images"
    for suffix in TAR_SUFFIXES:
        name = name.removesuffix(suffix)
    return name


@on_terminal
def try_(
    terminal: Terminal,
    lake: Lake,
    overrides: Overrides = None,
    images: Annotated[int, typer.Option(help="Number of images.", min=1, max=100)] = 6,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the page.")] = Path(
        "samseg-try"
    ),
) -> int:
    """Label a few images of a lake into a scratch page, beside the last try.

    Tunes settings without an output folder. Runs in this process, without Ray.
    """
    config = config_for(lake, None, overrides or ())
    from samseg.trial.page import write_page
    from samseg.trial.run import run_try
    from samseg.trial.tried import last_try

    settings = tuple(overrides or ())
    tried, remark = run_try(config, settings, images, terminal.progress)
    last = last_try(output, tried.lake)
    page = write_page(output, last, tried)
    code = 1 if remark else 0
    lines = [f"Page: {page.absolute()}", f"Now:  {tried}"]
    lines += [f"Last: {last}"] if last else []
    lines.append(remark or f"Next: {shlex.join(['samseg', 'label', lake, *settings])}")
    record = {
        "samseg": "try",
        "exit": code,
        "page": str(page.absolute()),
        "masks": tried.masks,
        "images": len(tried.images),
        "classes": tried.classes,
        "noise": tried.noise,
        "seconds": round(tried.seconds, 3),
    }
    terminal.result(record, lines)
    return code


@on_terminal
def init(
    terminal: Terminal,
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("samseg.yaml"),
    kind: Annotated[
        Literal["local", "cluster"],
        typer.Option(help="For this machine, or for a GPU cluster and an S3 lake."),
    ] = "local",
) -> int:
    """Write a config in which a comment explains every value."""
    shipped = shipped_configs()[_KINDS[kind]]
    text = shipped.read_text(encoding="utf-8").replace(f"configs/{shipped.name}", str(path))
    try:
        with path.open("x", encoding="utf-8") as f:
            f.write(text)
    except FileExistsError as e:
        raise ConfigError(f"{path} exists and is kept; give another file name") from e
    except OSError as e:
        raise ConfigError(f"cannot write {path}: {e.strerror}; check the path") from e
    lines = [
        f"{path} is written. Set `output` and `reader.uri` in it, then run:",
        f"  samseg nightly -c {path}",
    ]
    terminal.result({"samseg": "init", "exit": 0, "config": str(path), "kind": kind}, lines)
    return 0


@on_terminal
def demo(
    terminal: Terminal,
    folder: Annotated[Path, typer.Argument(help="Where to write.")] = Path("samseg-demo"),
) -> int:
    """Label a small lake of photos and scenes that ships with this package."""
    from samseg.demo.run import next_commands, run

    summary = run(folder, terminal.progress)
    terminal.result(summary.record("demo"), [*summary.lines(), *next_commands(folder)])
    return summary.exit
