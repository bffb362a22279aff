"""What a command prints: for a person on a terminal, or one JSON object for a program.

Progress, notes and errors go to standard error. The result goes to standard output: a few lines
where that is a terminal, otherwise, or with `--json`, one JSON object as the last line.
"""

import inspect
import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from samseg.errors import SamsegError, redact
from samseg.printable import printable, printable_line
from samseg.progress import Progress, Silent, for_terminal

P = ParamSpec("P")

_PANEL = "What is printed"
_OPTIONS = {
    "quiet": Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="Print errors and the result only.", rich_help_panel=_PANEL
        ),
    ],
    "verbose": Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Print every shard, and tracebacks of errors.",
            rich_help_panel=_PANEL,
        ),
    ],
    "json": Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print the result as JSON, as where standard output is no terminal.",
            rich_help_panel=_PANEL,
        ),
    ],
}


@dataclass(frozen=True)
class Terminal:
    """Where a command prints.

    Attributes:
        quiet: print errors and the result only.
        verbose: print every shard, and tracebacks of errors.
        json: print the result as JSON on a terminal, too.
    """

    quiet: bool = False
    verbose: bool = False
    json: bool = False

    @cached_property
    def progress(self) -> Progress:
        """The progress display of the command."""
        return Silent() if self.quiet else for_terminal()

    @property
    def for_person(self) -> bool:
        """Whether standard output is read by a person."""
        return sys.stdout.isatty() and not self.json

    def result(self, record: Mapping[str, Any], lines: Sequence[str] = ()) -> None:
        """Print the result of a command.

        Args:
            record: for programs.
            lines: for a person. Where a program reads standard output they go to standard error,
                so that a job log has them too.
        """
        text = "".join(f"{printable_line(line)}\n" for line in lines)
        if self.for_person:
            sys.stdout.write(text)
            return
        if not self.quiet:
            sys.stderr.write(text)
        typer.echo(json.dumps(record, default=str))

    def failed(self, command: str | None, error: SamsegError) -> None:
        """Print an error that ended a command."""
        message = redact(str(error))
        if self.verbose:
            sys.stderr.write(traceback_of(error))
        sys.stderr.write(f"samseg: {printable(message)}\n")
        self.ended(command, error.exit_code, type(error).__name__, message)

    def ended(self, command: str | None, code: int, error: str, message: str) -> None:
        """Print the last line of a command that an error ended, for programs."""
        if not self.for_person:
            record = {"samseg": command, "exit": code, "error": error, "message": message}
            typer.echo(json.dumps(record))

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Show log records of samseg as notes, so that they do not break the progress bar."""
        log = logging.getLogger("samseg")
        handler, before = _Notes(self), log.level
        log.addHandler(handler)
        log.setLevel(
            logging.ERROR if self.quiet else logging.INFO if self.verbose else logging.WARNING
        )
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.setLevel(before)


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error for a terminal, without credentials."""
    return printable(redact("".join(traceback.format_exception(error))))


def print_tables(tables: Iterable[Any], stderr: bool = True, width: int | None = None) -> None:
    """Print tables of rich, and lines: all text in them is plain, without markup or escapes.

    Args:
        tables: tables and strings.
        stderr: print to standard error.
        width: in characters; that of the terminal by default.
    """
    from rich.console import Console
    from rich.text import Text

    class Plain(Console):
        def render_str(self, text: str, **style: Any) -> Text:
            return super().render_str(printable(text), **style)

    Plain(stderr=stderr, width=width, markup=False, emoji=False, highlight=False).print(
        *tables, sep="\n"
    )


class _Notes(logging.Handler):
    def __init__(self, terminal: Terminal):
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        text = redact(self.format(record) if self._terminal.verbose else record.getMessage())
        if self._terminal.quiet:
            sys.stderr.write(f"{printable(text)}\n")
        else:
            self._terminal.progress.note(text)


def on_terminal(
    command: Callable[Concatenate[Terminal, P], int], json_option: bool = True
) -> Callable[..., int]:
    """Add `--quiet`, `--verbose` and `--json` to a command, and print its errors.

    Args:
        command: takes the terminal first, and returns its exit code.
        json_option: False where the command has an option `--json` of its own.
    """
    names = [name for name in _OPTIONS if json_option or name != "json"]

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> int:
        terminal = Terminal(**{name: kwargs.pop(name, False) for name in names})
        with terminal.logging():
            try:
                return command(terminal, *args, **kwargs)
            except SamsegError as e:
                terminal.failed(getattr(command, "__name__", "").rstrip("_"), e)
                return e.exit_code

    signature = inspect.signature(command, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(name, keyword, default=False, annotation=_OPTIONS[name]) for name in names
    ]
    own = list(signature.parameters.values())[1:]
    run.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    return run
