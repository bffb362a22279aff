"""Exit codes of the `samseg` command."""

import os
import sys
from typing import Any, NoReturn

from typer.core import TyperGroup

from samseg.errors import SamsegError
from samseg.interruption import install, interruption
from samseg.terminal import Terminal


class ExitCodes(TyperGroup):
    """Converts the return value or exception of a command to an exit code."""

    def invoke(self, ctx: Any) -> NoReturn:
        """Run the command and exit."""
        install()
        try:
            sys.exit(int(super().invoke(ctx) or 0))
        except SamsegError as e:
            Terminal().failed(ctx.invoked_subcommand, e)
            sys.exit(e.exit_code)
        except KeyboardInterrupt:
            stopped = interruption()
            Terminal().failed(ctx.invoked_subcommand, stopped)
            sys.exit(stopped.exit_code)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
