"""Progress display: a bar on a terminal, lines in a job log.

Stages report through callbacks, and a `Progress` shows them. All output goes to standard error;
standard output is reserved for results and the last, machine-readable line. What is shown may hold
untrusted names, so it is plain text: no markup, no control characters.
"""

import sys
import time
from typing import Protocol

from samseg.printable import printable, printable_line

_LINE_EVERY_S = 15.0


class Progress(Protocol):
    """Shows the progress of one stage after another."""

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """Start a stage of `total` units, None if unknown."""
        ...

    def update(self, done: int, detail: str = "") -> None:
        """Show the number of units done."""
        ...

    def finish(self, summary: str) -> None:
        """End the stage with a one-line summary."""
        ...

    def note(self, text: str) -> None:
        """Show any other line: a warning, a next step."""
        ...


class Lines:
    """One line per interval: for job logs and files."""

    def __init__(self, every_s: float = _LINE_EVERY_S):
        """Show at most one line every `every_s` seconds."""
        self._every_s = every_s
        self._stage, self._unit, self._total = "", "", None  # type: str, str, int | None
        self._started = self._last = 0.0

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """See `Progress.start`."""
        self._stage, self._total, self._unit = stage, total, unit
        self._started = self._last = time.monotonic()

    def update(self, done: int, detail: str = "") -> None:
        """See `Progress.update`."""
        now = time.monotonic()
        if now - self._last < self._every_s:
            return
        self._last = now
        of = f"/{self._total}" if self._total else ""
        rate = done / max(now - self._started, 1e-9)
        eta = f", {duration((self._total - done) / rate)} left" if self._total and rate else ""
        self.note(
            f"{self._stage}: {done}{of} {self._unit} ({rate:.2f}/s{eta})"
            + (f"; {printable_line(detail)}" if detail else "")
        )

    def finish(self, summary: str) -> None:
        """See `Progress.finish`."""
        self.note(printable_line(f"{self._stage}: {summary}"))

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()


class Bar:
    """A live bar: for terminals."""

    def __init__(self) -> None:
        """Create a bar on standard error."""
        from rich import progress as rich_progress
        from rich.console import Console

        self._console = Console(stderr=True)
        self._bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description:<8}", markup=False),
            rich_progress.BarColumn(bar_width=None),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("{task.fields[detail]}", markup=False),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TextColumn("left"),
            rich_progress.TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = rich_progress.TaskID(0)
        self._stage, self._unit = "", ""

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """See `Progress.start`."""
        self._stage, self._unit = stage, unit
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._task = self._bar.add_task(stage, total=total, detail=unit)
        self._bar.start()

    def update(self, done: int, detail: str = "") -> None:
        """See `Progress.update`."""
        self._bar.update(self._task, completed=done, detail=printable_line(detail or self._unit))

    def finish(self, summary: str) -> None:
        """See `Progress.finish`."""
        from rich.text import Text

        self._bar.update(self._task, visible=False)
        self._bar.stop()
        done = Text.assemble(("✓", "green"), " ", (f"{self._stage:<8}", "bold"), " ")
        self._console.print(done + Text(printable_line(summary)))

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        self._console.print(printable(text), highlight=False, markup=False, soft_wrap=True)


class Silent:
    """Shows nothing: for Python callers and tests."""

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """See `Progress.start`."""

    def update(self, done: int, detail: str = "") -> None:
        """See `Progress.update`."""

    def finish(self, summary: str) -> None:
        """See `Progress.finish`."""

    def note(self, text: str) -> None:
        """See `Progress.note`."""


def for_terminal() -> Progress:
    """Return a bar when standard error is a terminal, lines otherwise."""
    return Bar() if sys.stderr.isatty() else Lines()


def duration(seconds: float) -> str:
    """Format seconds: `42 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
