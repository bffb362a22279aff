"""Totals of one run of the embed stage."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from samseg.stages.embed.not_labelled import NAMED, NotLabelled
from samseg.stages.embed.shard_rows import ShardResult
from samseg.types import Shard


@dataclass(slots=True)
class EmbedTotals:
    """Totals of one run of the stage.

    Attributes:
        shards: shards committed by this run.
        given_up: shards quarantined by this run.
        masks: masks in the committed shards.
        statuses: images per status in the committed shards.
        seconds: worker seconds per step.
        wall_s: wall seconds.
        failures: the first images, and shards, that were not labelled.
    """

    shards: int = 0
    given_up: int = 0
    masks: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    wall_s: float = 0.0
    failures: list[NotLabelled] = field(default_factory=list)

    @property
    def images(self) -> int:
        """Images in the committed shards, including failures."""
        return sum(self.statuses.values())

    def counts(self) -> dict[str, Any]:
        """Return the totals as JSON values."""
        return {
            "shards": self.shards,
            "images": self.images,
            "masks": self.masks,
            "statuses": dict(self.statuses),
            "given_up": self.given_up,
            "worker_seconds": {k: round(v, 2) for k, v in self.seconds.items()},
        }

    def __str__(self) -> str:
        text = f"{self.images} images, {self.masks} masks"
        if self.images and self.wall_s:
            text += f" ({self.images / self.wall_s:.2f} images/s)"
        if self.failed:
            text += f", {self.failed} failed"
        if self.given_up:
            text += f", {self.given_up} shards given up"
        return text

    @property
    def failed(self) -> int:
        """Images that could not be labelled."""
        return self.images - self.statuses["ok"] - self.statuses["no_masks"]

    def add(self, result: ShardResult) -> None:
        """Add one finished shard."""
        self.shards += 1
        self._name(result.failures)
        self.masks += result.masks
        self.statuses.update(result.statuses)
        self.seconds.update(result.seconds)

    def give_up(self, shard: Shard, failures: tuple[str, ...]) -> None:
        """Add one shard that was given up."""
        self.given_up += 1
        cause = failures[-1] if failures else "cause unknown"
        self._name([NotLabelled(shard.sources[0].key, "given_up", cause)])

    def _name(self, failures: Iterable[NotLabelled]) -> None:
        self.failures = [*self.failures, *failures][:NAMED]
