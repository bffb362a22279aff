"""How fast workers get on side by side, without their start and without their end.

Loading models, starting processes and the first shard of every worker are warm-up, and where one
worker has run out of shards the others have the machine to themselves: both are left out. Between
the two, images in work count by the time they have taken so far, so that none is counted twice.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from samseg.engine.protocol import Heartbeat
from samseg.errors import ConfigError, WorkersError
from samseg.lab.benchmark.processes import cpu_seconds, largest_peak_bytes
from samseg.spec import Spec
from samseg.stages.embed.stage import EmbedEvent


class Pace(Spec):
    """What all workers together did while each was warm and had work.

    Attributes:
        images: images labelled, fractional at both ends.
        wall_s: seconds they took.
        cpu_s: CPU seconds of the process that watches and of all below it.
        peak_bytes: most memory that one process below it has had resident, since its start.
    """

    images: float
    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(slots=True)
class Journal:
    """When how many images of each shard were done, as the process above the workers saw it.

    Attributes:
        shards: (s, images) by shard id, from no images to all.
        cpu: (s, CPU s), at the end of every shard.
        peak_bytes: see `Pace`.
    """

    shards: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    cpu: list[tuple[float, float]] = field(default_factory=list)
    peak_bytes: int = 0

    def note(self, event: EmbedEvent) -> None:
        """Write down how far a shard is, now.

        Raises:
            WorkersError: it was given up, so the pace would be of less than was to be done.
        """
        now = time.monotonic()
        if isinstance(event, Heartbeat):
            self.shards.setdefault(event.task_id, []).append((now, event.index))
        elif event.value is None:
            raise WorkersError(f"a shard was given up: {event.failures[-1]}")
        else:
            images = event.value.statuses.values()
            self.shards.setdefault(event.task.id, []).append((now, sum(images)))
            self.cpu.append((now, cpu_seconds()))
            self.peak_bytes = max(self.peak_bytes, largest_peak_bytes())

    def pace(self, workers: int) -> Pace:
        """Return the pace of `workers` that were at work side by side.

        It is taken from the moment when the shards that were open when all workers were first at
        work had ended, to the moment when a worker first found no shard left.

        Raises:
            ConfigError: there is no such time; too few shards.
        """
        shards = self.shards.values()
        ends = sorted(ticks[-1][0] for ticks in shards)
        begin = end = ends[-workers] if len(ends) >= workers else 0.0
        for start in sorted(ticks[0][0] for ticks in shards):
            open_now = [t[-1][0] for t in shards if t[0][0] <= start < t[-1][0]]
            if len(open_now) >= workers:
                begin = max(open_now)
                break
        if end <= begin:
            raise ConfigError(
                f"{len(shards)} shards are too few to see {workers} workers side by side after "
                "the first shard of each; give more images, or put fewer into a shard"
            )
        return Pace(
            images=sum(_at(end, ticks) - _at(begin, ticks) for ticks in shards),
            wall_s=end - begin,
            cpu_s=_at(end, self.cpu) - _at(begin, self.cpu),
            peak_bytes=self.peak_bytes,
        )


def _at(now: float, ticks: Sequence[tuple[float, float]]) -> float:
    """Interpolate what was counted; before the first and after the last tick it stands still."""
    times, counts = zip(*ticks, strict=True)
    return float(np.interp(now, times, counts))
