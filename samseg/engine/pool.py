"""The driver's side of a pool of Ray actors: Ray calls without scheduling rules.

`Pool.run` is one loop: start missing workers, assign attempts to idle ones, receive messages, reap
dead workers. `scheduler.py` decides what follows from each event; `actor.py` is the actor's side.
Imported only while a map runs.

Heartbeats arrive through streaming generators. They may be lost when a process dies abruptly,
unless the generator waits until each one is fetched; `exact` attempts do, because there the last
heartbeat has to name the item that killed the worker.
"""

import logging
import time
from collections.abc import Callable, Iterator
from math import inf
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError

from samseg import interruption
from samseg.engine.actor import Worker, WorkerReady, WorkerStarted
from samseg.engine.failure import Done, Failure, cause_of_death
from samseg.engine.protocol import AnyResult, AnyWork, Heartbeat, Slot, Workers
from samseg.engine.room import Room
from samseg.engine.scheduler import Scheduler
from samseg.engine.session import Session
from samseg.engine.worker_handle import WorkerHandle
from samseg.errors import WorkersError

_log = logging.getLogger(__name__)
_TICK_S = 1.0  # longest wait for a message
_WAITING_NOTE_S = 60.0  # between notes that no worker has started yet
_UNREACHABLE_S = 45.0  # Ray takes up to 30 s to declare a node dead
_LONGEST_PAUSE_S = 60.0
_TOGETHER_S = 1.0  # between deaths that have one cause from outside


class Pool:
    """The state of one `RayPool.map`.

    Args:
        scheduler: the rules, holding the tasks.
        build: makes the work in each worker.
        room: what the nodes of the cluster hold.
        session: has idle workers from maps before and keeps those of this one; None starts all.
        backoff_s: pause after the first failed start, doubled with each further one.
        silence_s: as given to the scheduler; named in the reason when a worker is stopped.
        start_failures: failed starts in a row, with no worker ready, that end the night.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        build: Callable[[Slot], AnyWork],
        room: Room,
        session: Session | None,
        *,
        backoff_s: float,
        silence_s: float,
        start_failures: int,
    ):
        self._scheduler = scheduler
        self._build = ray.put(build)
        self._room = room
        self._session = session
        self._backoff_s = backoff_s
        self._silence_s = silence_s
        self._start_failures = start_failures
        self._workers: list[WorkerHandle] = []
        self._noted_at = time.monotonic()
        self._failed_starts = 0
        self._error: Failure | None = None  # the last defect of a worker
        self._last_failed_start = self._next_start = -inf
        self._deaths: list[float] = []  # times of the last ones
        self._told = Workers(0, 0)

    def run(self) -> Iterator[Workers | Heartbeat | AnyResult]:
        """Yield events until every task has its result; stops all workers."""
        try:
            while not self._scheduler.finished:
                interruption.check()
                self._scale_up()
                yield from self._workers_if_changed()
                self._assign()
                for worker in self._with_messages():
                    yield from self._receive(worker)
                self._stop_unresponsive()
                yield from self._reap()
        finally:
            for worker in self._workers:
                idle = worker.ready and worker.stream is None
                if self._session and idle and not worker.died_of and not worker.retired:
                    self._session.keep(self._room.share, worker.actor)
                else:
                    ray.kill(worker.actor)
            self._room.close()

    # ------------------------------------------------------------------ starting workers

    def _scale_up(self) -> None:
        """Start missing workers, if there are tasks for them."""
        now = time.monotonic()
        room = self._room
        room.update(self._scheduler.unfinished(room.max_workers), len(self._workers))
        while (
            len(self._workers) < room.workers
            and now >= self._next_start
            and self._scheduler.needs(len(self._workers) + 1)
        ):
            self._start(now)
        if now - self._noted_at > _WAITING_NOTE_S:
            self._noted_at = now
            if self._workers and not any(worker.node for worker in self._workers):
                _log.warning(
                    "waiting for Ray to place %d workers with %g CPUs%s each",
                    len(self._workers),
                    room.share.cpus,
                    " and a GPU" if room.share.device == "cuda" else "",
                )

    def _workers_if_changed(self) -> Iterator[Workers]:
        alive = [worker.ready for worker in self._workers if not worker.died_of]
        workers = Workers(alive.count(True), alive.count(False))
        if workers != self._told:
            self._told = workers
            yield workers

    def _start(self, now: float) -> None:
        share = self._room.share
        actor = self._session.take(share) if self._session else None
        if actor is None:
            make: Any = ray.remote(Worker)
            actor = make.options(
                num_gpus=1 if share.device == "cuda" else 0,
                num_cpus=share.cpus,
                max_restarts=0,
                max_task_retries=0,
            ).remote()
        slot = Slot(share.device, share.threads)
        stream = actor.start.options(num_returns="streaming").remote(self._build, slot)
        worker = WorkerHandle(actor, started_at=now, stream=stream)
        self._workers.append(worker)
        self._scheduler.join(worker)

    def _start_failed(self, worker: WorkerHandle, failure: Failure) -> None:
        """Count, pause, or end the night; workers started before the last failure do not count."""
        self._release(worker)
        if any(other.ready for other in self._workers):
            self._next_start = time.monotonic() + _LONGEST_PAUSE_S
            _log.warning("a worker did not start: %s", failure.text)
            return
        if not failure.retry:
            raise failure.error()
        if worker.started_at > self._last_failed_start:
            self._failed_starts += 1
            self._last_failed_start = time.monotonic()
            pause = self._backoff_s * 2.0 ** (self._failed_starts - 1)
            self._next_start = self._last_failed_start + min(_LONGEST_PAUSE_S, pause)
        if self._failed_starts >= self._start_failures:
            raise WorkersError(
                f"workers failed to start {self._failed_starts} times in a row, most recently: "
                f"{failure.text}"
            )

    # ------------------------------------------------------------------ working

    def _assign(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if not worker.ready or worker.stream is not None or worker.died_of:
                continue
            if self._scheduler.at_fault(worker):
                self._retire(worker)
                continue
            assigned = self._scheduler.assign(worker, now)
            if assigned is None:
                continue
            task, attempt = assigned
            call = worker.actor.run.options(
                num_returns="streaming",
                _generator_backpressure_num_objects=1 if attempt.exact else -1,
            )
            worker.stream = call.remote(task, attempt)

    def _retire(self, worker: WorkerHandle) -> None:
        """Give a worker no more work; it keeps its GPU, so that Ray gives it to no other."""
        if worker.retired:
            return
        worker.retired = True
        cause = self._error.text if self._error else "unknown"
        _log.warning("a GPU of node %s gets no more work; the last error: %s", worker.node, cause)
        if all(w.retired for w in self._workers):
            raise WorkersError(f"every GPU is at fault; the last error: {cause}")

    def _with_messages(self) -> list[WorkerHandle]:
        """Wait for a message or until something is due; return all workers with a message."""
        pause = min(_TICK_S, self._scheduler.pause(time.monotonic()))
        streams = {w.stream: w for w in self._workers if w.stream is not None}
        if not streams:
            time.sleep(min(pause, 0.1))
            return []
        ready, _ = ray.wait(list(streams), num_returns=1, timeout=pause)
        if ready:
            ready, _ = ray.wait(list(streams), num_returns=len(streams), timeout=0)
        return [streams[stream] for stream in ready]

    def _receive(self, worker: WorkerHandle) -> Iterator[Heartbeat | AnyResult]:
        """Take one message of a worker."""
        try:
            message = ray.get(next(worker.stream))
        except (RayError, StopIteration) as error:
            unreachable = isinstance(error, ActorUnavailableError)
            self._stop(worker, cause_of_death(error), _UNREACHABLE_S if unreachable else 0.0)
            return
        now = time.monotonic()
        if isinstance(message, Heartbeat):
            self._scheduler.heartbeat(worker, now, message.index)
            yield message
        elif isinstance(message, WorkerStarted):
            worker.node = message.node
            self._scheduler.placed(worker, message.place)
            self._scheduler.heartbeat(worker, now)
        elif isinstance(message, WorkerReady):
            worker.ready, worker.stream = True, None
            self._failed_starts = 0
            self._scheduler.idle(worker)
        elif isinstance(message, Done):
            worker.stream = None
            yield self._scheduler.succeeded(worker, message.value)
        elif not worker.ready:
            self._start_failed(worker, message)
        elif message.ends_night:
            raise message.error()
        else:
            worker.stream = None
            result = self._scheduler.failed(worker, message, now)
            if message.kind is None:  # a defect: the process, or its GPU, may be broken
                self._error = message
                self._release(worker)
            if result is not None:
                yield result

    # ------------------------------------------------------------------ losing workers

    def _stop_unresponsive(self) -> None:
        for worker in self._scheduler.unresponsive(time.monotonic()):
            if isinstance(worker, WorkerHandle) and not worker.died_of:
                self._stop(worker, f"silent for {self._silence_s:g} s, stopped", 0.0)

    def _stop(self, worker: WorkerHandle, died_of: str, grace_s: float) -> None:
        """Kill a worker; `_reap` decides later whether its death counts against its task."""
        worker.stream = None
        worker.died_of, worker.died_at = died_of, time.monotonic()
        worker.reap_at = worker.died_at + max(grace_s, _TOGETHER_S)
        self._deaths = [*self._deaths[-99:], worker.died_at]
        ray.kill(worker.actor)

    def _reap(self) -> Iterator[AnyResult]:
        """Attribute each death: to the node if it left the cluster, else to the task."""
        dead = [worker for worker in self._workers if worker.died_of]
        if not dead:
            return
        now = time.monotonic()
        self._room.look()
        for worker in dead:
            if worker.node is not None and worker.node not in self._room.nodes:
                self._release(worker)
            elif now < worker.reap_at:
                continue
            elif not worker.ready:
                self._start_failed(worker, Failure(worker.died_of))
            else:
                self._workers.remove(worker)
                near = [t for t in self._deaths if abs(t - worker.died_at) <= _TOGETHER_S]
                result = self._scheduler.died(worker, worker.died_of, now, alone=len(near) == 1)
                if result is not None:
                    yield result

    def _release(self, worker: WorkerHandle) -> None:
        self._workers.remove(worker)
        ray.kill(worker.actor)
        self._scheduler.left(worker, time.monotonic())
