"""Throughput of concurrent workers while all of them are warm and busy.

Starting processes, loading models and the first shard of every worker are warm-up; after the first
worker has run out of shards, the others no longer share the machine with it. Both periods are
excluded. Images in progress at the start or end of the measured period count in proportion to the
time spent on them within it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from samseg.engine.protocol import Heartbeat, Workers
from samseg.errors import ConfigError, WorkersError
from samseg.lab.benchmark.processes import cpu_seconds, largest_peak_bytes
from samseg.spec import Spec
from samseg.stages.embed.stage import EmbedEvent


class Throughput(Spec):
    """Work of all workers while each was warm and busy.

    Attributes:
        images: images labelled; fractional, because images in progress count in part.
        wall_s: length of that period, seconds.
        cpu_s: CPU seconds of the measuring process and its descendants in that period.
        peak_bytes: largest peak resident memory of one descendant since its start.
    """

    images: float
    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(slots=True)
class ProgressLog:
    """Progress of every shard over time, as recorded by the process that runs the workers.

    Attributes:
        shards: (seconds, images done) by shard id, from none to all.
        cpu: (seconds, CPU seconds) at the end of every shard.
        peak_bytes: see `Throughput`.
    """

    shards: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    cpu: list[tuple[float, float]] = field(default_factory=list)
    peak_bytes: int = 0

    def record(self, event: EmbedEvent) -> None:
        """Record the progress of a shard at this moment.

        Raises:
            WorkersError: a shard was given up, so the throughput would not cover all images.
        """
        now = time.monotonic()
        if isinstance(event, Heartbeat):
            if event.index is not None:
                self.shards.setdefault(event.task_id, []).append((now, event.index))
        elif isinstance(event, Workers):
            return
        elif event.value is None:
            raise WorkersError(f"a shard was given up: {event.failures[-1]}")
        else:
            images = event.value.statuses.values()
            self.shards.setdefault(event.task.id, []).append((now, sum(images)))
            self.cpu.append((now, cpu_seconds()))
            self.peak_bytes = max(self.peak_bytes, largest_peak_bytes())

    def throughput(self, workers: int) -> Throughput:
        """Return the throughput while all `workers` were warm and busy.

        The period starts when all shards that were open at the first moment with every worker busy
        have ended. It ends when a worker first finds no shard left.

        Raises:
            ConfigError: there is no such period, because there are too few shards.
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
                f"{len(shards)} shards are too few to measure {workers} busy workers after the "
                "first shard of each; use more images or smaller shards"
            )
        return Throughput(
            images=sum(_at(end, ticks) - _at(begin, ticks) for ticks in shards),
            wall_s=end - begin,
            cpu_s=_at(end, self.cpu) - _at(begin, self.cpu),
            peak_bytes=self.peak_bytes,
        )


def _at(now: float, ticks: Sequence[tuple[float, float]]) -> float:
    """Interpolate a count over time; constant before the first and after the last tick."""
    times, counts = zip(*ticks, strict=True)
    return float(np.interp(now, times, counts))
