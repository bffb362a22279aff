"""The driver's side of a pool of Ray actors: Ray calls, and no rules of its own.

`Pool.run` is one loop: start the workers that are missing, give idle ones their next attempt, hear
those that speak, bury those that are gone. What follows from each event is decided in
`scheduler.py`; what an actor does is in `actor.py`. Imported only while a map runs.

Beats arrive by streaming generators. They may be lost when the process dies at once, unless the
generator waits for each to be fetched; `exact` attempts do, because there the last beat has to
name the culprit.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

import ray
from ray.exceptions import ActorUnavailableError, RayError

from samseg.engine.actor import Worker, WorkerReady, WorkerStarted
from samseg.engine.cluster import Cluster
from samseg.engine.failure import Failure
from samseg.engine.protocol import Beat, Outcome, Receipt, Slot, Work
from samseg.engine.ray_pool import RayPool
from samseg.engine.scheduler import Scheduler
from samseg.engine.shares import Share, share_out
from samseg.errors import DeviceError, WorkersError, one_line

_log = logging.getLogger(__name__)
_TICK_S = 1.0  # longest wait for a worker to speak
_LOOK_S = 10.0  # between looks at what the cluster has
_WAITING_NOTE_S = 60.0  # between notes that no worker has started yet
_UNREACHABLE_S = 45.0  # Ray takes up to 30 s to declare a node dead
_LONGEST_PAUSE_S = 60.0


@dataclass(eq=False, slots=True)
class _Seat:
    """One actor as the driver sees it."""

    actor: Any
    born: float
    voice: Any  # generator of the call in progress, or None
    node: str | None = None
    ready: bool = False
    died_of: str = ""
    verdict_at: float = field(default=inf)  # when a dead worker's shard takes the blame


class Pool:
    """The state of one `RayPool.map`.

    Args:
        settings: the pool's spec.
        cluster: the Ray to run on, connected.
        scheduler: the rules, holding the shards.
        build: makes the work in each worker.
        device: what each worker shall run on.
    """

    def __init__(
        self,
        settings: RayPool,
        cluster: Cluster,
        scheduler: Scheduler,
        build: Callable[[Slot], Work],
        device: Literal["auto", "cpu", "cuda"],
    ):
        self._settings = settings
        self._cluster = cluster
        self._scheduler = scheduler
        self._build = ray.put(build)
        self._device = device
        self._seats: list[_Seat] = []
        self._nodes = cluster.nodes()
        self._share = self._look()
        self._looked = self._noted = time.monotonic()
        self._failed_starts = 0
        self._last_failed_start = self._next_start = -inf

    def run(self) -> Iterator[Beat | Outcome]:
        """Yield beats and outcomes until every shard has its outcome; ends all workers."""
        try:
            while not self._scheduler.finished:
                self._staff()
                self._assign()
                for seat in self._speaking():
                    yield from self._hear(seat)
                self._suspect_silence()
                yield from self._bury()
        finally:
            for seat in self._seats:
                ray.kill(seat.actor)

    # ------------------------------------------------------------------ starting workers

    def _look(self) -> Share:
        """Decide what a worker gets, from the nodes that are there now."""
        wanted = self._settings.workers
        share = share_out(self._nodes.values(), self._device, self._settings.cpus_per_worker)
        if share.workers == 0 and (wanted == "auto" or self._cluster.own) and not self._seats:
            if not any(node.get("GPU", 0) for node in self._nodes.values()) and (
                share.device == "cuda"
            ):
                raise DeviceError(
                    "device is cuda, and no node of the Ray cluster has a GPU; start one, give "
                    "engine.workers as a number to let an autoscaler start some, or set "
                    "model.device to cpu"
                )
            raise WorkersError(
                f"no node has the {share.cpus:g} CPUs that one worker is to get; "
                "lower engine.cpus_per_worker"
            )
        return share

    def _staff(self) -> None:
        """Start the workers that are missing, if there is work for them."""
        now = time.monotonic()
        if now - self._looked > _LOOK_S:
            self._looked, self._nodes = now, self._cluster.nodes()
            self._share = self._look()
        wanted = self._settings.workers
        target = self._share.workers if wanted == "auto" else wanted
        while (
            len(self._seats) < target
            and now >= self._next_start
            and self._scheduler.needs(len(self._seats) + 1)
        ):
            self._start(now)
        if now - self._noted > _WAITING_NOTE_S:
            self._noted = now
            if self._seats and not any(seat.node for seat in self._seats):
                _log.warning(
                    "waiting for Ray to place %d workers with %g CPUs%s each",
                    len(self._seats),
                    self._share.cpus,
                    " and a GPU" if self._share.device == "cuda" else "",
                )

    def _start(self, now: float) -> None:
        share = self._share
        make: Any = ray.remote(Worker)
        actor = make.options(
            num_gpus=1 if share.device == "cuda" else 0,
            num_cpus=share.cpus,
            max_restarts=0,
            max_task_retries=0,
        ).remote()
        slot = Slot(share.device, share.threads)
        voice = actor.start.options(num_returns="streaming").remote(self._build, slot)
        seat = _Seat(actor, born=now, voice=voice)
        self._seats.append(seat)
        self._scheduler.join(seat)

    def _start_failed(self, seat: _Seat, failure: Failure) -> None:
        """Count, pause, or end the night; workers started before the last failure add nothing."""
        self._let_go(seat)
        if any(other.ready for other in self._seats):
            self._next_start = time.monotonic() + _LONGEST_PAUSE_S
            _log.warning("a worker did not start: %s", failure.text)
            return
        if not failure.retry:
            raise failure.error()
        if seat.born > self._last_failed_start:
            self._failed_starts += 1
            self._last_failed_start = time.monotonic()
            pause = self._settings.backoff_s * 2.0 ** (self._failed_starts - 1)
            self._next_start = self._last_failed_start + min(_LONGEST_PAUSE_S, pause)
        if self._failed_starts >= self._settings.start_failures:
            raise WorkersError(
                f"workers failed to start {self._failed_starts} times in a row, at last with: "
                f"{failure.text}"
            )

    # ------------------------------------------------------------------ working

    def _assign(self) -> None:
        now = time.monotonic()
        for seat in self._seats:
            if not seat.ready or seat.voice is not None or seat.died_of:
                continue
            job = self._scheduler.assign(seat, now)
            if job is None:
                continue
            shard, attempt = job
            call = seat.actor.run.options(
                num_returns="streaming",
                _generator_backpressure_num_objects=1 if attempt.exact else -1,
            )
            seat.voice = call.remote(shard, attempt)

    def _speaking(self) -> list[_Seat]:
        """Wait until a worker speaks or something falls due; return all that have spoken."""
        pause = min(_TICK_S, self._scheduler.pause(time.monotonic()))
        voices = {seat.voice: seat for seat in self._seats if seat.voice is not None}
        if not voices:
            time.sleep(min(pause, 0.1))
            return []
        spoken, _ = ray.wait(list(voices), num_returns=1, timeout=pause)
        if spoken:
            spoken, _ = ray.wait(list(voices), num_returns=len(voices), timeout=0)
        return [voices[voice] for voice in spoken]

    def _hear(self, seat: _Seat) -> Iterator[Beat | Outcome]:
        """Take one word from a worker."""
        try:
            said = ray.get(next(seat.voice))
        except (RayError, StopIteration) as error:
            self._lost(seat, error)
            return
        now = time.monotonic()
        if isinstance(said, Beat):
            self._scheduler.heard(seat, now, said.index)
            yield said
        elif isinstance(said, WorkerStarted):
            seat.node = said.node
            self._scheduler.heard(seat, now)
        elif isinstance(said, WorkerReady):
            seat.ready, seat.voice = True, None
            self._failed_starts = 0
            self._scheduler.rested(seat)
        elif isinstance(said, Receipt):
            seat.voice = None
            yield self._scheduler.succeeded(seat, said)
        elif not seat.ready:
            self._start_failed(seat, said)
        elif said.ends_night:
            raise said.error()
        else:
            seat.voice = None
            outcome = self._scheduler.failed(seat, said, now)
            if outcome is not None:
                yield outcome

    # ------------------------------------------------------------------ losing workers

    def _lost(self, seat: _Seat, error: Exception) -> None:
        """A worker's call broke; who is to blame is for `_bury` to find out."""
        away = isinstance(error, ActorUnavailableError)
        self._mourn(seat, _cause(error), _UNREACHABLE_S if away else 0.0)

    def _suspect_silence(self) -> None:
        for seat in self._scheduler.silent(time.monotonic()):
            if isinstance(seat, _Seat) and not seat.died_of:
                self._mourn(seat, f"silent for {self._settings.silence_s:g} s, stopped", 0.0)

    def _mourn(self, seat: _Seat, died_of: str, grace_s: float) -> None:
        seat.voice = None
        seat.died_of = died_of
        seat.verdict_at = time.monotonic() + grace_s
        ray.kill(seat.actor)

    def _bury(self) -> Iterator[Outcome]:
        """Settle who is to blame for each dead worker: its node where that left, else its shard."""
        dead = [seat for seat in self._seats if seat.died_of]
        if not dead:
            return
        now = time.monotonic()
        self._nodes = self._cluster.nodes()
        for seat in dead:
            if seat.node is not None and seat.node not in self._nodes:
                self._let_go(seat)
            elif now < seat.verdict_at:
                continue
            elif not seat.ready:
                self._start_failed(seat, Failure(seat.died_of))
            else:
                self._seats.remove(seat)
                outcome = self._scheduler.died(seat, seat.died_of, now)
                if outcome is not None:
                    yield outcome

    def _let_go(self, seat: _Seat) -> None:
        self._seats.remove(seat)
        ray.kill(seat.actor)
        self._scheduler.left(seat, time.monotonic())


def _cause(error: Exception) -> str:
    """Say in one line what Ray says of a dead actor, without its ids and advice."""
    if isinstance(error, StopIteration):
        return "worker fell silent in the middle of its shard"
    detail = re.search(r"Worker exit detail: (.+?)(?: Some common causes|$)", str(error), re.M)
    return "worker died: " + (detail.group(1) if detail else one_line(error))
