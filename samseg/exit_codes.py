"""Exit codes of the `samseg` command, and the last line of standard output after an error."""

import json
import os
import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from samseg.errors import SamsegError, redact


class ExitCodes(TyperGroup):
    """Converts the return value or exception of a command to an exit code and the last line."""

    def invoke(self, ctx: Any) -> NoReturn:
        """Run the command and exit."""
        try:
            sys.exit(int(super().invoke(ctx) or 0))
        except SamsegError as e:
            message = redact(str(e))
            sys.stderr.write(f"samseg: {message}\n")
            failed = {"samseg": ctx.invoked_subcommand, "exit": e.exit_code}
            typer.echo(json.dumps({**failed, "error": type(e).__name__, "message": message}))
            sys.exit(e.exit_code)
        except KeyboardInterrupt:
            sys.stderr.write("samseg: interrupted; run the same command again to resume\n")
            sys.exit(130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
