"""Assignment of tasks to workers, and attribution of failures: rules without I/O.

An engine reports what happened (`heartbeat`, `succeeded`, `failed`, `died`, `left`) and asks what
to do (`needs`, `assign`, `unresponsive`, `pause`). The module knows neither Ray, processes nor
clocks: workers are opaque keys and time is a number that the engine passes in, so every
interleaving can be tested.

The rules:

- Every task ends in exactly one result. Tasks are drawn one by one, never far ahead of the work.
- An error is retried after a pause that doubles. While many tasks wait for a retry, few new ones
  are drawn, so that an outage of the store costs few tasks their attempts.
- After the death of a worker its task runs `exact`: nothing is prefetched, so the last heartbeat
  names the item that was being worked on. An item at which two exact attempts died is put off: it
  is done after all others. If a worker dies at it there, too, it is skipped, and the count of
  attempts starts again. A death at a known item costs no attempt, unless the item is skipped
  already, so kills from outside cost nothing. An error that is not a `SamsegError` is treated like
  a death, but cannot come from outside, so the item is skipped at the second exact attempt that it
  ends.
- A worker has a place: its GPU, else itself. After a death or such an error a task waits for a
  place at which it has not failed yet, if there is one. If two tasks in a row raised such an error
  at a place and succeeded elsewhere, the place is at fault and gets no more work.
- A node that leaves the cluster costs no attempt. Workers that die at about the same time were
  probably killed from outside: their tasks are retried without blame, at most `attempts` times.
- An outage ends the run after `attempts` attempts of one task: no task is given up for it.
- After `attempts` attempts, or with `attempts` items skipped and still dying, the task is given up.
- A worker learns its next task early, for prefetching. Only tasks that were never started are
  reserved this way: merely reading a task that killed a worker may kill another. An idle worker
  takes over another worker's reservation.
"""

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from math import inf
from typing import Any

from samseg.engine.blame import TaskState
from samseg.engine.failure import Failure
from samseg.engine.protocol import AnyResult, AnyTask, Attempt, Result

_LONGEST_PAUSE_S = 60.0
_EVIDENCE = 2


@dataclass(slots=True)
class _WorkerState:
    """What one worker is doing."""

    running: TaskState | None = None
    upcoming: TaskState | None = None
    place: Hashable = None
    index: int | None = None  # item of the last heartbeat
    last_seen: float = inf  # time of the last message; inf while the worker is idle


class Scheduler:
    """The state of one `Engine.map`.

    Args:
        tasks: what to do; drawn lazily, None where there is no task yet.
        attempts: attempts per task, and items per task that may be skipped.
        backoff_s: pause after the first error, doubled with each further one up to a minute.
        silence_s: a busy worker that sends nothing for this long is `unresponsive`.
    """

    def __init__(
        self,
        tasks: Iterable[AnyTask | None],
        *,
        attempts: int,
        backoff_s: float,
        silence_s: float = inf,
    ):
        self._tasks = iter(tasks)
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._silence_s = silence_s
        self._open = 0  # tasks drawn and without result
        self._fresh: deque[TaskState] = deque()  # drawn, untouched
        self._waiting: list[tuple[float, int, TaskState]] = []  # (due, tie, task): all others
        self._ties = itertools.count()
        self._workers: dict[Hashable, _WorkerState] = {}
        self._evidence: Counter[Hashable] = Counter()  # by place: tasks in a row

    # ------------------------------------------------------------------ what to do

    def needs(self, workers: int) -> bool:
        """Whether there are unfinished tasks for that many workers."""
        while self._open < workers and self._draw():
            pass
        return self._open >= workers

    def unfinished(self, most: int) -> int:
        """Return the number of unfinished tasks, at most `most`."""
        return most if self.needs(most) else self._open

    @property
    def finished(self) -> bool:
        """Whether every task has its result."""
        return not self.needs(1)

    def join(self, worker: Hashable) -> None:
        """Add a worker; it may still be starting. Its place is itself until `placed` is called."""
        self._workers[worker] = _WorkerState(place=worker)

    def placed(self, worker: Hashable, place: Hashable) -> None:
        """Tell the place of a worker, which another worker may have after it."""
        self._workers[worker].place = place

    def at_fault(self, worker: Hashable) -> bool:
        """Whether the place of a worker is at fault, so that it gets no work."""
        return self._evidence[self._workers[worker].place] >= _EVIDENCE

    def assign(self, worker: Hashable, now: float) -> tuple[AnyTask, Attempt[Any]] | None:
        """Return the next attempt of an idle worker, or None for now."""
        state = self._workers[worker]
        if self.at_fault(worker):
            return None
        task = state.upcoming or self._due(worker, now) or self._untouched() or self._taken_over()
        if task is None:
            return None
        state.running, state.upcoming, state.last_seen = task, None, now
        if not task.exact:
            state.upcoming = self._reservation(now)
        upcoming = state.upcoming.task if state.upcoming else None
        return task.task, Attempt(task.number, task.skip, task.exact, upcoming, task.last)

    def unresponsive(self, now: float) -> list[Hashable]:
        """Busy workers that have sent nothing for too long."""
        return [
            worker
            for worker, state in self._workers.items()
            if now - state.last_seen > self._silence_s
        ]

    def pause(self, now: float) -> float:
        """Seconds until the next waiting task may be retried; infinite when none will be due."""
        return min((due - now for due, *_ in self._waiting if due > now), default=inf)

    # ------------------------------------------------------------------ what happened

    def heartbeat(self, worker: Hashable, now: float, index: int | None = None) -> None:
        """A worker sent a message: it starts on item `index` of its task, or on none."""
        state = self._workers[worker]
        state.last_seen, state.index = now, index

    def idle(self, worker: Hashable) -> None:
        """A worker has nothing to do; it need not send anything."""
        state = self._workers[worker]
        state.running, state.index, state.last_seen = None, None, inf

    def succeeded(self, worker: Hashable, value: Any) -> AnyResult:
        """A worker finished its task and returned `value`."""
        task, place = self._running(worker), self._workers[worker].place
        self.idle(worker)
        self._evidence.pop(place, None)
        for elsewhere, by_error in task.tried.items():
            self._evidence[elsewhere] += by_error and elsewhere != place
        return self._close(task, value)

    def failed(self, worker: Hashable, failure: Failure, now: float) -> AnyResult | None:
        """A worker's attempt ended in an error; a result means that the task is given up.

        Raises:
            OutageError: nothing could be read in any attempt that the task had left.
        """
        state = self._workers[worker]
        task, index = self._running(worker), state.index
        self.idle(worker)
        task.note(failure.text, failure.kind)
        if failure.outage and task.number >= self._attempts:
            raise failure.error()
        if not failure.retry:
            return self._close(task, None)
        if failure.kind is None:
            task.tried[state.place] = True
            if task.ended_at(index, self._attempts, put_off=False):
                self._wait(task, now)
                return None
        return self._retry(task, now + _pause(self._backoff_s, task.number))

    def died(
        self, worker: Hashable, why: str, now: float, *, alone: bool = True
    ) -> AnyResult | None:
        """A worker died, perhaps because of its task; a result means that the task is given up.

        Args:
            worker: the worker.
            why: one line for the task's failures.
            now: the time.
            alone: whether no other worker died at about the same time.
        """
        state = self._workers.pop(worker)
        if state.upcoming is not None:
            self._wait(state.upcoming, now)
        task = state.running
        if task is None:
            return None
        where = (
            "" if state.index is None else f"{'at' if task.exact else 'near'} item {state.index}"
        )
        task.note(f"{why} {where}".strip())
        if not alone and task.together < self._attempts:
            task.together, task.exact = task.together + 1, True
            self._wait(task, now)
            return None
        task.tried.setdefault(state.place, False)
        free = state.index is not None and state.index not in task.skip
        free = free and len(task.skip) < self._attempts
        if task.ended_at(state.index, self._attempts, put_off=True) or free:
            self._wait(task, now)
            return None
        return self._retry(task, now)

    def left(self, worker: Hashable, now: float) -> None:
        """A worker is gone, but not because of its task: its node left, or it was released."""
        state = self._workers.pop(worker)
        for task in (state.running, state.upcoming):
            if task is not None:
                self._wait(task, now)

    # ------------------------------------------------------------------ inside

    def _draw(self) -> bool:
        task = next(self._tasks, None)
        if task is None:
            return False
        self._fresh.append(TaskState(task))
        self._open += 1
        return True

    def _due(self, worker: Hashable, now: float) -> TaskState | None:
        """Take the first waiting task that is due and need not wait for another place."""
        place = self._workers[worker].place
        usable = {s.place for w, s in self._workers.items() if not self.at_fault(w)}
        for entry in sorted(self._waiting):
            due, _, task = entry
            if due > now:
                break
            if place not in task.tried or usable <= task.tried.keys():
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
                return task
        return None

    def _untouched(self, spare: int = 0) -> TaskState | None:
        """Take a fresh task if more than `spare` can be had and not too many wait."""
        if len(self._waiting) <= len(self._workers):
            while len(self._fresh) <= spare and self._draw():
                pass
        return self._fresh.popleft() if len(self._fresh) > spare else None

    def _reservation(self, now: float) -> TaskState | None:
        """Reserve a fresh task, unless an idle worker or a waiting task has a better claim."""
        if self._waiting and self._waiting[0][0] <= now:
            return None
        idle = sum(state.running is state.upcoming is None for state in self._workers.values())
        return self._untouched(spare=idle)

    def _taken_over(self) -> TaskState | None:
        for state in self._workers.values():
            if state.upcoming is not None:
                task, state.upcoming = state.upcoming, None
                return task
        return None

    def _running(self, worker: Hashable) -> TaskState:
        task = self._workers[worker].running
        if task is None:
            raise RuntimeError(f"worker {worker} has no task")
        return task

    def _wait(self, task: TaskState, due: float) -> None:
        heapq.heappush(self._waiting, (due, next(self._ties), task))

    def _retry(self, task: TaskState, due: float) -> AnyResult | None:
        if task.number >= self._attempts:
            return self._close(task, None)
        task.number += 1
        self._wait(task, due)
        return None

    def _close(self, task: TaskState, value: Any) -> AnyResult:
        self._open -= 1
        kind = task.kind if value is None else None
        return Result(task.task, value, tuple(task.failures), kind)


def _pause(backoff_s: float, number: int) -> float:
    return min(_LONGEST_PAUSE_S, backoff_s * 2.0 ** (number - 1))
