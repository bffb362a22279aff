"""A night and its stages: `nightly`, `plan`, `embed`, `describe`, `cluster`, `export`, `report`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samseg.commands.options import (
    ConfigPath,
    Moved,
    Overrides,
    Refit,
    Retry,
    RetryFailed,
    statuses_in,
)
from samseg.errors import ConfigError
from samseg.terminal import Terminal, on_terminal

if TYPE_CHECKING:
    from samseg.config import Config


def run_night(terminal: Terminal, command: str, config: "Config", run: Callable[[Any], Any]) -> int:
    """Run some stages of a night and print what became of it.

    Args:
        terminal: where to print.
        command: name of the command.
        config: the config of the night.
        run: calls the stages of a `samseg.nightly.Night`.

    Returns:
        The exit code.
    """
    from samseg.nightly import Night

    night = Night(config, terminal.progress)
    with night.config.engine.session():
        run(night)
    summary = night.summary
    terminal.result(summary.record(command), summary.lines())
    return int(summary.exit)


def _stages(
    terminal: Terminal,
    command: str,
    path: Path,
    overrides: list[str] | None,
    run: Callable[[Any], Any],
) -> int:
    from samseg import config as configs

    return run_night(terminal, command, configs.load(path, overrides or ()), run)


@on_terminal
def nightly(
    terminal: Terminal,
    config: ConfigPath,
    overrides: Overrides = None,
    refit: Refit = False,
    retry_quarantined: Retry = False,
    retry_failed: RetryFailed = None,
    lake_moved: Moved = False,
) -> int:
    """Run a whole night: plan, embed, cluster, export, report.

    The same command resumes an interrupted night. Images that were unreadable, crashed or timed
    out are labelled again once, by the next night; --retry-failed labels any again.
    """
    statuses = statuses_in(retry_failed)
    return _stages(
        terminal,
        "nightly",
        config,
        overrides,
        lambda n: n.run(refit, retry_quarantined, lake_moved, statuses),
    )


@on_terminal
def plan(
    terminal: Terminal,
    config: ConfigPath,
    overrides: Overrides = None,
    retry_failed: RetryFailed = None,
) -> int:
    """List the lake, plan what is new, and failed images again."""
    statuses = statuses_in(retry_failed)
    return _stages(terminal, "plan", config, overrides, lambda n: n.plan(statuses))


@on_terminal
def embed(
    terminal: Terminal,
    config: ConfigPath,
    overrides: Overrides = None,
    retry_quarantined: Retry = False,
) -> int:
    """Label the planned shards that are not committed yet."""
    return _stages(terminal, "embed", config, overrides, lambda n: n.embed(retry_quarantined))


@on_terminal
def describe(terminal: Terminal, config: ConfigPath, overrides: Overrides = None) -> int:
    """Add the config's named embeddings to masks that lack them. SAM does not run."""
    return _stages(terminal, "describe", config, overrides, lambda n: n.describe())


@on_terminal
def cluster(
    terminal: Terminal, config: ConfigPath, overrides: Overrides = None, refit: Refit = False
) -> int:
    """Assign new masks to classes, and fit the classes again if the lake has grown."""
    return _stages(terminal, "cluster", config, overrides, lambda n: n.cluster(refit))


@on_terminal
def export(
    terminal: Terminal,
    config: ConfigPath,
    overrides: Overrides = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Write the whole lake, in as few files as the format allows."),
    ] = False,
    via: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="datumaro FORMAT",
            help="Write the whole lake in a format of Datumaro: voc, label_me, cvat, datumaro.",
        ),
    ] = None,
) -> int:
    """Write what the exports of the config do not have yet."""
    if via and via[0] != "datumaro":
        raise ConfigError(f"--via: got {via[0]!r}, wanted `--via datumaro FORMAT`")
    formats = None
    if via:
        from samseg.exporters.datumaro import Datumaro

        formats = [Datumaro.model_validate({"kind": via[1]})]
    whole = everything or bool(via)
    return _stages(terminal, "export", config, overrides, lambda n: n.export(whole, formats))


@on_terminal
def report(terminal: Terminal, config: ConfigPath, overrides: Overrides = None) -> int:
    """Write the report page: classes, examples, failures, timings."""
    return _stages(terminal, "report", config, overrides, lambda n: n.report())
