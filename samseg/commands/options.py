"""The options that several commands share, and the layout of their help."""

from pathlib import Path
from typing import Annotated

import typer

from samseg.errors import ConfigError
from samseg.types import LABELLED, STATUSES

LABEL = "Label"
NIGHTLY = "Run nightly"
RESULTS = "Look at the results"
LAB = "Measure and train"

FAILURES = tuple(status for status in STATUSES if status not in LABELLED)

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The YAML config of the night.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SECTION.KEY=VALUE",
        help="Settings in place of the config's, for example model.checkpoint=vit_h. "
        "`null` unsets one.",
        show_default=False,
    ),
]
Lake = Annotated[
    str,
    typer.Argument(
        metavar="LAKE", help="The images: a folder, a URL, or tars.", show_default=False
    ),
]
Refit = Annotated[
    bool,
    typer.Option("--refit", help="Fit the classes again. Classes that continue keep their id."),
]
Retry = Annotated[
    bool, typer.Option("--retry-quarantined", help="Retry the shards that were given up.")
]
RetryFailed = Annotated[
    str | None,
    typer.Option(
        metavar="STATUS,...",
        help=f"Label images of these statuses again: {', '.join(FAILURES)}, or all.",
        show_default=False,
    ),
]
Moved = Annotated[
    bool,
    typer.Option(
        "--lake-moved",
        help="The lake of the output folder is here now; some sizes are compared.",
    ),
]


def statuses_in(text: str | None) -> tuple[str, ...]:
    """Return the statuses in the value of `--retry-failed`.

    Raises:
        ConfigError: a status does not exist.
    """
    if text == "all":
        return FAILURES
    found = tuple(filter(None, (text or "").split(",")))
    if text is not None and not ({*found} <= {*FAILURES} and found):
        raise ConfigError(
            f"--retry-failed: got {text!r}, wanted some of {','.join(FAILURES)} with commas "
            "between them, or all"
        )
    return found


def examples(*lines: tuple[str, str]) -> str:
    """Return the end of a help text, in Markdown: commands, each with what it does."""
    return "\n\n".join(["Examples:", *(f"- `{command}`: {text}" for command, text in lines)])
