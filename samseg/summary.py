"""What a night did: the result of every command, and `status.json` in the night's folder."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from samseg.stages.embed.not_labelled import NotLabelled

_NAMED = 3
"""Failures that are named on a terminal."""


@dataclass(slots=True)
class Summary:
    """Result of a night: the result of every command, and `status.json`.

    Attributes:
        output: URI of the output folder.
        stamp: name of the night.
        exit: 0 done, 1 done with failed images or shards given up.
        seconds: wall seconds per stage.
        counts: counts per stage.
        page: URI of the report page, if one was written.
        failed: number of images that failed this night, and of shards given up.
        failures: the first of these.
        reasons: whole sentences: why `exit` is 1, and what to do about it.
    """

    output: str
    stamp: str
    exit: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    page: str | None = None
    failed: int = 0
    failures: list[NotLabelled] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def incomplete(self, reason: str) -> None:
        """Set exit code 1.

        Args:
            reason: a whole sentence.
        """
        self.exit = 1
        self.reasons.append(reason)

    def add_failures(self, failed: int, failures: Sequence[NotLabelled]) -> None:
        """Count `failed` images or shards, the first of which are `failures`."""
        self.failed += failed
        self.failures += failures

    def record(self, command: str) -> dict[str, Any]:
        """Return the summary for a program; values are JSON."""
        return {"samseg": command, **asdict(self)}

    def lines(self) -> list[str]:
        """Return the summary for a person: the page, what failed, what the exit code means."""
        lines = [f"Page:   {self.page.removeprefix('file://')}"] if self.page else []
        if self.failed:
            named = [f"{f.key} ({f.status}: {f.error})" for f in self.failures[:_NAMED]]
            more = self.failed - len(named)
            named += [f"{more} more, which the page lists"] if more and named else []
            lines.append(f"Failed: {', '.join(named) or self.failed}")
        elif self.page and not self.exit:
            lines.append("Failed: nothing")
        if self.exit:
            lines.append(f"Exit {self.exit}: {' '.join(self.reasons)}")
        elif self.page:
            lines.append("Exit 0: every planned image is labelled.")
        return lines
