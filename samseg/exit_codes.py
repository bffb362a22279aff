"""Exit codes of the `samseg` command."""

import os
import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from samseg.errors import SamsegError, redact
from samseg.interruption import install, interruption
from samseg.printable import printable
from samseg.terminal import Terminal

_ClickException: Any = typer.BadParameter.__mro__[2]
"""Of click, or of the copy of click that is part of later versions of typer."""


class ExitCodes(TyperGroup):
    """Converts the return value or exception of a command to an exit code."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the options before the command."""
        try:
            return super().make_context(*args, **kwargs)
        except _ClickException as e:
            _refused(None, e)
            raise

    def invoke(self, ctx: Any) -> NoReturn:
        """Run the command and exit."""
        install()
        try:
            code = int(super().invoke(ctx) or 0)
        except _ClickException as e:
            _refused(ctx.invoked_subcommand, e)
            raise
        except SystemExit as e:
            if isinstance(e.__context__, BrokenPipeError):  # as rich reports it
                _ignore_output()
            raise RuntimeError(f"a library ended the command with sys.exit({e.code!r})") from e
        except SamsegError as e:
            Terminal().failed(ctx.invoked_subcommand, e)
            sys.exit(e.exit_code)
        except KeyboardInterrupt:
            stopped = interruption()
            Terminal().failed(ctx.invoked_subcommand, stopped)
            sys.exit(stopped.exit_code)
        except BrokenPipeError:
            _ignore_output()
        sys.exit(code)


def _ignore_output() -> NoReturn:
    """Exit after the reader of standard output has closed it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


def _refused(command: str | None, error: Any) -> None:
    """Print the last line of a command that click refuses; click prints the message."""
    message = printable(redact(error.format_message()))
    error.format_message = lambda: message  # click formats it once more
    Terminal().ended(command, error.exit_code, type(error).__name__, message)
