import io

import pytest
from rich.console import Console

from samseg.engine.protocol import Heartbeat, Result, Task, Workers
from samseg.meter import Meter
from samseg.progress import Bar, Silent
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
