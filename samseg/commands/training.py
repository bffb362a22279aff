"""`samseg pretrain`: training of the small model."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from samseg.terminal import Terminal, on_terminal


@on_terminal
def pretrain(
    terminal: Terminal,
    config: Annotated[Path, typer.Option("--config", "-c", help="The YAML training settings.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Settings in place of the file's, for example output=run start=tiny.",
            show_default=False,
        ),
    ] = None,
    pack: Annotated[
        Path | None,
        typer.Option(
            help="Only pack the photos that train into this tar file.", show_default=False
        ),
    ] = None,
) -> int:
    """Train a small SAM on scenes, labelled photos or by distillation.

    The same command resumes an interrupted run.
    """
    from samseg import config as configs
    from samseg.lab.pretraining.run import pack_photos
    from samseg.lab.pretraining.run import pretrain as train
    from samseg.lab.pretraining.settings import Pretraining

    settings = configs.load_as(Pretraining, config, overrides or ())
    if pack is not None:
        photos = pack_photos(settings, pack, terminal.progress)
        record = {"samseg": "pack", "exit": 0, "photos": photos}
        terminal.result(record, [f"{photos} photos are packed into {pack}."])
        return 0
    trained = asdict(train(settings, terminal.progress))
    lines = [f"{name}: {value}" for name, value in trained.items()]
    terminal.result({"samseg": "pretrain", "exit": 0} | trained, lines)
    return 0
