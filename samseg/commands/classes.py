"""The command `samseg classes OUTPUT VERB`: look at classes, and edit them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samseg.errors import redact
from samseg.given_once import Commands
from samseg.terminal import Terminal, on_terminal

if TYPE_CHECKING:
    from samseg.edits.edit import Edit
    from samseg.stages.edits.editor import ClassEditor

classes = Commands(no_args_is_help=True)

Class = Annotated[
    str, typer.Argument(metavar="CLASS", help="A class: its id or its name.", show_default=False)
]
Author = Annotated[
    str | None,
    typer.Option(help="Who edits; the user of this process by default.", show_default=False),
]
Reason = Annotated[str, typer.Option(help="Why; kept in the log.", show_default=False)]


@classes.callback()
def _folder(
    context: typer.Context,
    output: Annotated[
        str, typer.Argument(help="The output folder, or a config file.", show_default=False)
    ],
) -> None:
    """Name, merge, split, ignore and correct classes. Edits hold under all later codebooks."""
    context.obj = output


@classes.command("list")
@on_terminal
def list_(terminal: Terminal, context: typer.Context) -> int:
    """List the classes, largest first."""
    editor = _editor(context)
    rows = editor.list()
    width = max((len(str(row["class_id"])) for row in rows), default=0)
    lines = [f"{row['class_id']:>{width}}  {row['masks']:>9}  {_shown(row)}" for row in rows]
    terminal.result(_record("list", context, classes=rows), lines or ["there are no classes"])
    return 0


@classes.command()
@on_terminal
def name(
    terminal: Terminal,
    context: typer.Context,
    which: Class,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.", show_default=False)],
    author: Author = None,
    reason: Reason = "",
) -> int:
    """Give a class a name."""
    return _edited(terminal, context, lambda e: e.name(which, name, author, reason))


@classes.command()
@on_terminal
def merge(
    terminal: Terminal,
    context: typer.Context,
    which: Annotated[
        list[str],
        typer.Argument(
            metavar="CLASS...", help="Classes that become a part of --into.", show_default=False
        ),
    ],
    into: Annotated[
        str, typer.Option(help="The class that keeps its id and its name.", show_default=False)
    ],
    author: Author = None,
    reason: Reason = "",
) -> int:
    """Make classes part of another one."""
    return _edited(terminal, context, lambda e: e.merge(which, into, author, reason))


@classes.command()
@on_terminal
def split(
    terminal: Terminal,
    context: typer.Context,
    which: Class,
    by: Annotated[
        str,
        typer.Option(
            metavar="MASK,MASK",
            help="Divide by two masks, one for each side, not along the codebook's tree.",
            show_default=False,
        ),
    ] = "",
    author: Author = None,
    reason: Reason = "",
) -> int:
    """Divide a class in two; the larger side keeps its id and its name."""
    masks = [mask.strip() for mask in by.split(",") if mask.strip()]
    return _edited(terminal, context, lambda e: e.split(which, masks, author, reason))


@classes.command()
@on_terminal
def ignore(
    terminal: Terminal,
    context: typer.Context,
    which: Class,
    author: Author = None,
    reason: Reason = "",
) -> int:
    """Leave a class out of exports."""
    return _edited(terminal, context, lambda e: e.ignore(which, author, reason))


@classes.command()
@on_terminal
def restore(
    terminal: Terminal,
    context: typer.Context,
    which: Class,
    author: Author = None,
    reason: Reason = "",
) -> int:
    """Take an ignored class into exports again."""
    return _edited(terminal, context, lambda e: e.restore(which, author, reason))


@classes.command()
@on_terminal
def move(
    terminal: Terminal,
    context: typer.Context,
    masks: Annotated[
        list[str], typer.Argument(metavar="MASK...", help="Ids of masks.", show_default=False)
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="CLASS|none|ignored",
            help="Their class from now on; `ignored` leaves them out.",
            show_default=False,
        ),
    ],
    author: Author = None,
    reason: Reason = "",
) -> int:
    """Give masks another class, or none, or leave them out of exports."""
    return _edited(terminal, context, lambda e: e.move(masks, to, author, reason))


@classes.command()
@on_terminal
def undo(
    terminal: Terminal,
    context: typer.Context,
    edit: Annotated[
        int,
        typer.Argument(metavar="EDIT", help="Its number in `history`.", show_default=False),
    ],
    author: Author = None,
    reason: Reason = "",
) -> int:
    """Take one edit back; the others stay."""
    return _edited(terminal, context, lambda e: e.undo(edit, author, reason))


@classes.command()
@on_terminal
def history(terminal: Terminal, context: typer.Context) -> int:
    """List all edits, and what refits did to classes."""
    rows = _editor(context).history()
    terminal.result(
        _record("history", context, history=rows),
        [_told(row) for row in rows] or ["there are no edits"],
    )
    return 0


def _editor(context: typer.Context) -> "ClassEditor":
    from samseg import config as configs
    from samseg.output import Output
    from samseg.stages.edits.editor import ClassEditor

    place = str(context.obj)
    uri = configs.load(place).output if place.endswith((".yaml", ".yml")) else place
    return ClassEditor(Output.existing(uri))


def _edited(
    terminal: Terminal, context: typer.Context, edit: Callable[["ClassEditor"], "Edit"]
) -> int:
    """Make an edit and print it, with what it leaves without effect."""
    editor = _editor(context)
    made = edit(editor)
    row = next(r for r in editor.history() if r.get("edit") == made.number)
    lines = [f"edit {made.number}: {row['text']}", *editor.consequences(made)]
    record = _record(made.action.action, context, edit=row, class_id=made.created)
    terminal.result(record, lines)
    return 0


def _record(verb: str, context: typer.Context, **values: Any) -> dict[str, Any]:
    return {"samseg": f"classes {verb}", "output": redact(str(context.obj)), **values}


def _shown(row: dict[str, Any]) -> str:
    marks = ["retired"] * row["retired"] + ["ignored"] * row["ignored"]
    if row["merged"]:
        marks.append(f"with {', '.join(map(str, row['merged']))}")
    if row["created_by"]:
        marks.append(f"made by edit {row['created_by']}")
    return "; ".join([row["name"] + (f" ({', '.join(marks)})" if marks else ""), *row["notes"]])


def _told(row: dict[str, Any]) -> str:
    if "codebook" in row:
        return str(row["text"])
    ends = [f"undone by edit {row['undone_by']}"] if row["undone_by"] else []
    ends += [f"no effect: {row['idle']}"] if row["idle"] else []
    ends += [row["reason"]] if row["reason"] else []
    text = f"{row['edit']:>4}  {row['time']}  {row['author']}  {row['text']}"
    return text + "".join(f"; {end}" for end in ends)
