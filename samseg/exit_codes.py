"""Exit codes of the `samseg` command."""

import os
import signal
import sys
import threading
from typing import Any, NoReturn

from typer.core import TyperGroup

from samseg.errors import SamsegError
from samseg.terminal import Terminal


class Interrupted(KeyboardInterrupt):
    """SIGINT: Ctrl-C."""

    exit_code = 130
    word = "interrupted"

    def error(self) -> SamsegError:
        """Return the message, as an error with this exit code."""
        error = SamsegError(f"{self.word}; run the same command again to resume")
        error.exit_code = self.exit_code  # type: ignore[misc]
        return error


class Terminated(Interrupted):
    """SIGTERM: what a scheduler or a shutdown sends."""

    exit_code = 143
    word = "terminated"


def _terminate(signum: int, frame: Any) -> NoReturn:
    raise Terminated


class ExitCodes(TyperGroup):
    """Converts the return value or exception of a command to an exit code."""

    def invoke(self, ctx: Any) -> NoReturn:
        """Run the command and exit."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _terminate)
        try:
            sys.exit(int(super().invoke(ctx) or 0))
        except SamsegError as e:
            Terminal().failed(ctx.invoked_subcommand, e)
            sys.exit(e.exit_code)
        except KeyboardInterrupt as e:
            stopped = Terminated() if isinstance(e, Terminated) else Interrupted()
            Terminal().failed(ctx.invoked_subcommand, stopped.error())
            sys.exit(stopped.exit_code)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
