"""The command `samseg review`."""

from typing import Annotated

import typer

from samseg.terminal import Terminal, on_terminal


@on_terminal
def review(
    terminal: Terminal,
    output: Annotated[
        str, typer.Argument(help="The output folder, or a config file.", show_default=False)
    ],
    port: Annotated[
        int | None,
        typer.Option(help="Default: 8417, or a free one.", min=1, max=65535, show_default=False),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. By default this machine only: whoever reaches another "
            "one and has the URL can edit, and the connection is not encrypted."
        ),
    ] = "127.0.0.1",
    author: Annotated[
        str | None,
        typer.Option(help="Who edits; the user of this process by default.", show_default=False),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> int:
    """Name, merge, split and correct classes on a local page, until Ctrl-C.

    The printed URL has a token, without which nothing is shown. The page writes edits only, as
    `samseg classes` does.
    """
    from samseg import config as configs
    from samseg.errors import redact
    from samseg.output import Output
    from samseg.review.serve import listening, serve
    from samseg.review.session import open_review

    place = configs.load(output).output if output.endswith((".yaml", ".yml")) else output
    folder = Output.existing(place)
    opened = listening(host, port)
    session = open_review(folder, author, None, terminal.progress)

    def announce(url: str) -> None:
        record = {"samseg": "review", "output": redact(folder.uri), "url": url}
        terminal.result(record, [url, "Ctrl-C ends it"])
        if open_:
            typer.launch(url)

    return serve(session, opened, host, announce)
