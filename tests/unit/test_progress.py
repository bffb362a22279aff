import io

import pytest
from rich.console import Console

from samseg.engine.protocol import Heartbeat, Result, Task, Workers
from samseg.meter import Meter
from samseg.progress import Bar, Lines, Silent
from samseg.stages.embed.shard_rows import ShardResult


class Seen(Silent):
    """A progress display that keeps what it is told."""

    def __init__(self):
        self.updates = []

    def update(self, done, detail=""):
        self.updates.append((done, detail))


def test_the_meter_says_that_workers_start():
    seen = Seen()
    meter = Meter(seen)
    result = ShardResult(statuses={"ok": 1, "undecodable": 1}, masks=3, seconds={})
    for event in (
        Workers(0, 2),
        Workers(1, 1),
        Heartbeat("a", 1, {"masks": 2}),
        Result(Task("a", None), result),
    ):
        meter(event)
    assert seen.updates == [
        (0, "starting workers"),
        (0, "starting 2 workers"),
        (1, "2 masks"),
        (2, "3 masks, 1 failed"),
    ]


@pytest.mark.parametrize("totals", [(9, None), (None, 9), (3, 5)])
def test_a_bar_has_the_total_of_its_own_stage(totals):
    bar = Bar()
    bar._console = bar._bar.live.console = Console(file=io.StringIO(), force_terminal=True)
    for total in totals:
        bar.start("stage", total, "images")
        bar.update(1)
        (task,) = bar._bar.tasks
        assert (task.total, task.completed) == (total, 1)
        bar.finish("done")


EVIL = "we[/red]ird\x1b]0;title\x07\u202e[bold]"


@pytest.mark.parametrize("show", [Bar, Lines])
def test_names_are_shown_as_plain_text(show, capsys):
    """An output folder may be called like markup, or like an escape sequence."""
    display, out = show(), io.StringIO()
    if show is Bar:
        display._console = display._bar.live.console = Console(
            file=out, force_terminal=True, width=200
        )
    else:
        display._every_s = 0
    display.start("embed", 3, "images")
    display.update(1, EVIL)
    if show is Bar:
        display._bar.refresh()
    display.note(f"note {EVIL}")
    display.finish(f"3 images in {EVIL}")
    text = out.getvalue() + capsys.readouterr().err
    assert text.count(r"we[/red]ird\x1b]0;title\x07\u202e[bold]") >= 3
    assert "\x1b]" not in text and "\x07" not in text and "\u202e" not in text


def test_a_name_with_a_line_break_does_not_forge_a_summary(capsys):
    lines = Lines()
    lines.start("embed", 3, "images")
    lines.finish("3 images in a\nembed: 0 failed")
    assert capsys.readouterr().err.count("\n") == 1
