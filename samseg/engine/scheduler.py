"""Who works on which shard next, and who is to blame when a worker dies: the rules, and no I/O.

An engine reports what happened (`heard`, `succeeded`, `failed`, `died`, `left`) and asks what to do
(`needs`, `assign`, `silent`, `pause`). Nothing here knows Ray, processes or clocks: workers are
opaque keys and time is a number that the engine passes in, so every interleaving can be tested.

The rules:

- Every shard ends in exactly one outcome. Shards are drawn one by one, never far ahead of the work.
- An error is tried again after a pause that doubles; a night with many such shards draws fewer new
  ones, so that an outage of the store costs few shards their attempts.
- A death costs an attempt. From then on the shard runs `exact`: nothing is read ahead, so the last
  beat names the image that was being worked on. An image that two exact attempts died at is
  skipped, and the count of attempts starts anew, for there was progress. An error that is not of
  our tree is such a death too: it is a defect that this image meets, and costs no other image.
- A machine that leaves costs nothing.
- After `attempts` tries, or with `attempts` images to skip and still dying, the shard is given up.
- A worker hears of its next shard early, to read ahead. Such a reservation is only ever drawn from
  shards that nobody has touched: reading a shard that killed a worker may kill another. A worker
  with nothing else to do takes over another's reservation.
"""

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from math import inf

from samseg.engine.failure import Failure
from samseg.engine.protocol import Attempt, Outcome, Receipt
from samseg.types import Shard

_LONGEST_PAUSE_S = 60.0
_BLAMED_TO_SKIP = 2


@dataclass(slots=True)
class _Task:
    """A shard on its way to its outcome."""

    shard: Shard
    number: int = 1
    exact: bool = False
    skip: frozenset[int] = frozenset()
    blamed: Counter[int] = field(default_factory=Counter)  # exact attempts ended per image
    failures: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.failures.append(f"attempt {len(self.failures) + 1}: {text}")


@dataclass(slots=True)
class _Desk:
    """What one worker has before it."""

    running: _Task | None = None
    upcoming: _Task | None = None
    index: int | None = None  # image of the last beat
    heard: float = inf  # when the worker last spoke; inf while nothing is asked of it


class Scheduler:
    """The state of one `Engine.map`.

    Args:
        shards: what to do; drawn lazily.
        attempts: tries per shard, and images per shard that may be skipped.
        backoff_s: pause after the first error, doubled with each further one up to a minute.
        silence_s: a worker that is asked for something and says nothing this long is `silent`.
    """

    def __init__(
        self,
        shards: Iterable[Shard],
        *,
        attempts: int,
        backoff_s: float,
        silence_s: float = inf,
    ):
        self._shards = iter(shards)
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._silence_s = silence_s
        self._open = 0  # shards drawn and without outcome
        self._fresh: deque[_Task] = deque()  # drawn, untouched
        self._waiting: list[tuple[float, int, _Task]] = []  # (due, tie, task): all others
        self._ties = itertools.count()
        self._desks: dict[Hashable, _Desk] = {}

    # ------------------------------------------------------------------ what to do

    def needs(self, workers: int) -> bool:
        """Whether there are unfinished shards for that many workers."""
        while self._open < workers and self._draw():
            pass
        return self._open >= workers

    @property
    def finished(self) -> bool:
        """Whether every shard has its outcome."""
        return not self.needs(1)

    def join(self, worker: Hashable) -> None:
        """Count on a worker; it may still be starting."""
        self._desks[worker] = _Desk()

    def assign(self, worker: Hashable, now: float) -> tuple[Shard, Attempt] | None:
        """Give an idle worker its next attempt, or nothing for now."""
        desk = self._desks[worker]
        task = desk.upcoming or self._due(now) or self._untouched() or self._taken_over()
        if task is None:
            return None
        desk.running, desk.upcoming, desk.heard = task, None, now
        if not task.exact:
            desk.upcoming = self._reservation(now)
        upcoming = desk.upcoming.shard if desk.upcoming else None
        return task.shard, Attempt(task.number, task.skip, task.exact, upcoming)

    def silent(self, now: float) -> list[Hashable]:
        """Workers that have been silent for too long."""
        return [w for w, desk in self._desks.items() if now - desk.heard > self._silence_s]

    def pause(self, now: float) -> float:
        """Seconds until a shard that waits may be tried again; infinite when none waits."""
        return max(0.0, self._waiting[0][0] - now) if self._waiting else inf

    # ------------------------------------------------------------------ what happened

    def heard(self, worker: Hashable, now: float, index: int | None = None) -> None:
        """A worker spoke, about to touch image `index` of its shard."""
        desk = self._desks[worker]
        desk.heard = now
        if index is not None:
            desk.index = index

    def rested(self, worker: Hashable) -> None:
        """A worker has done what it was asked for; its silence means nothing now."""
        desk = self._desks[worker]
        desk.running, desk.index, desk.heard = None, None, inf

    def succeeded(self, worker: Hashable, receipt: Receipt) -> Outcome:
        """A worker finished its shard."""
        task = self._running(worker)
        self.rested(worker)
        return self._close(task, receipt)

    def failed(self, worker: Hashable, failure: Failure, now: float) -> Outcome | None:
        """A worker's attempt ended in an error; an outcome means that the shard is given up."""
        task, index = self._running(worker), self._desks[worker].index
        self.rested(worker)
        task.note(failure.text)
        if not failure.retry:
            return self._close(task, None)
        if failure.kind is None and self._skips(task, index, now):
            return None
        return self._again(task, now + _pause(self._backoff_s, task.number))

    def died(self, worker: Hashable, why: str, now: float) -> Outcome | None:
        """A worker is gone, perhaps by its shard; an outcome means that the shard is given up."""
        desk = self._desks.pop(worker)
        if desk.upcoming is not None:
            self._wait(desk.upcoming, now)
        task = desk.running
        if task is None:
            return None
        where = "" if desk.index is None else f"{'at' if task.exact else 'near'} image {desk.index}"
        task.note(f"{why} {where}".strip())
        return None if self._skips(task, desk.index, now) else self._again(task, now)

    def left(self, worker: Hashable, now: float) -> None:
        """A worker is gone through no fault of its shard: its machine left, or it was let go."""
        desk = self._desks.pop(worker)
        for task in (desk.running, desk.upcoming):
            if task is not None:
                self._wait(task, now)

    # ------------------------------------------------------------------ inside

    def _skips(self, task: _Task, index: int | None, now: float) -> bool:
        """Blame the image that a task ended at, and skip it from the second time on."""
        blamed = index if task.exact else None
        task.exact = True
        if blamed is None or blamed in task.skip:
            return False
        task.blamed[blamed] += 1
        if task.blamed[blamed] < _BLAMED_TO_SKIP or len(task.skip) >= self._attempts:
            return False
        task.skip |= {blamed}
        task.number = 1
        self._wait(task, now)
        return True

    def _draw(self) -> bool:
        shard = next(self._shards, None)
        if shard is None:
            return False
        self._fresh.append(_Task(shard))
        self._open += 1
        return True

    def _due(self, now: float) -> _Task | None:
        due = self._waiting and self._waiting[0][0] <= now
        return heapq.heappop(self._waiting)[2] if due else None

    def _untouched(self, spare: int = 0) -> _Task | None:
        """Take a fresh shard if more than `spare` can be had and not too many wait."""
        if len(self._waiting) <= len(self._desks):
            while len(self._fresh) <= spare and self._draw():
                pass
        return self._fresh.popleft() if len(self._fresh) > spare else None

    def _reservation(self, now: float) -> _Task | None:
        """Reserve a fresh shard, unless an idle worker or a waiting shard has a better claim."""
        if self.pause(now) == 0:
            return None
        idle = sum(d.running is d.upcoming is None for d in self._desks.values())
        return self._untouched(spare=idle)

    def _taken_over(self) -> _Task | None:
        for desk in self._desks.values():
            if desk.upcoming is not None:
                task, desk.upcoming = desk.upcoming, None
                return task
        return None

    def _running(self, worker: Hashable) -> _Task:
        task = self._desks[worker].running
        if task is None:
            raise RuntimeError(f"worker {worker} has no shard")
        return task

    def _wait(self, task: _Task, due: float) -> None:
        heapq.heappush(self._waiting, (due, next(self._ties), task))

    def _again(self, task: _Task, due: float) -> Outcome | None:
        if task.number >= self._attempts:
            return self._close(task, None)
        task.number += 1
        self._wait(task, due)
        return None

    def _close(self, task: _Task, receipt: Receipt | None) -> Outcome:
        self._open -= 1
        return Outcome(task.shard, receipt, tuple(task.failures))


def _pause(backoff_s: float, number: int) -> float:
    return min(_LONGEST_PAUSE_S, backoff_s * 2.0 ** (number - 1))
