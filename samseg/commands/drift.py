"""`samseg drift`: what the last night changed, and a gate on it for schedulers."""

from typing import Annotated

import typer

from samseg.drift import METRICS
from samseg.errors import ConfigError, redact
from samseg.terminal import Terminal, on_terminal

_NIGHTS = 7
_COLUMNS = {
    "new_masks": "new masks",
    "noise": "noise",
    "distance": "distance",
    "distance_ratio": "ratio",
    "total_variation": "variation",
    "classes": "classes",
    "new_classes": "new",
    "retired_classes": "retired",
    "split_classes": "split",
}
"""Metrics of the table, and their titles."""


@on_terminal
def drift(
    terminal: Terminal,
    output: Annotated[
        str, typer.Argument(help="The output folder, or a config file.", show_default=False)
    ],
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC>NUMBER,...",
            help="Exit with 1 if one of these holds of the last night, for example "
            f"'noise>0.5,new_classes>20'. Metrics: {', '.join(METRICS)}.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Show what the last night changed, beside the nights before it.

    Each night is compared with all masks before it: the share of masks without a class (noise), the
    mean distance to the nearest class, the class shares, and new, retired and split classes.
    """
    from samseg import config as configs
    from samseg.conditions import conditions_in
    from samseg.output import Output
    from samseg.stages.drift import last

    conditions = conditions_in(fail_on) if fail_on is not None else []
    if output.endswith((".yaml", ".yml")):
        output = configs.load(output).output
    folder = Output.existing(output)
    nights = last(folder, _NIGHTS)
    if not nights:
        raise ConfigError(
            f"{redact(folder.uri)} has no nights/*/drift.json yet; the next `samseg nightly` or "
            "`samseg label` writes one"
        )
    newest = nights[-1]
    failed = [str(c) for c in conditions if c.holds(newest.metrics)]
    rows = [[night.stamp, *(_text(night.metrics[name]) for name in _COLUMNS)] for night in nights]
    lines = _aligned([["night", *_COLUMNS.values()], *rows])
    lines += [
        f"{what}: {', '.join(e.name for e in events)}"
        for what, events in (
            ("new", newest.born),
            ("retired", newest.retired),
            ("split", newest.split),
            ("farther off than before", [c for c in newest.classes if c.drifted]),
        )
        if events
    ]
    if conditions:
        lines.append(f"holds: {', '.join(failed)}" if failed else "no condition holds")
    record = {"samseg": "drift", "output": redact(folder.uri), "exit": int(bool(failed))}
    terminal.result(record | {"failed": failed} | newest.record(), lines)
    return int(bool(failed))


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([f"{row[0]:<{widths[0]}}", *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]


def _text(value: float | None) -> str:
    """Return a metric for the table."""
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else f"{value:,}"
