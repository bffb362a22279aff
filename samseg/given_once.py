"""Commands that refuse an option given twice, of which one value would be lost."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand


class GivenOnce(TyperCommand):
    """A command that takes each option once, but lists and flags."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line.

        Raises:
            BadParameter: an option is given twice.
        """
        *_, given = self.make_parser(ctx).parse_args([*args])
        for option, times in Counter(given).items():
            if times > 1 and _loses(option):
                name = "/".join([*option.opts, *option.secondary_opts])
                raise typer.BadParameter(f"{name} is given {times} times; give it once", ctx)
        return super().parse_args(ctx, args)


class Commands(typer.Typer):
    """A command line whose commands take each option once."""

    def command(self, *args: Any, **settings: Any) -> Callable[..., Any]:
        """Add a command."""
        return super().command(*args, cls=GivenOnce, **settings)


def _loses(option: Any) -> bool:
    """Return whether the last value of an option replaces the others."""
    is_flag = getattr(option, "is_flag", False) and not option.secondary_opts
    return option.param_type_name == "option" and not option.multiple and not is_flag
