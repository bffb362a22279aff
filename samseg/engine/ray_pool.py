"""The engine on Ray: one actor per GPU, or per share of CPUs where there are none.

For unattended runs: a worker that dies or hangs is replaced and its task retried. This module holds
the settings only and does not import ray; `pool.py` runs them.

The work runs on the Ray cluster that this process is already connected to, else on the one at
`address`, else at RAY_ADDRESS (which `ray job submit` sets), else on a local one that ends with the
map.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from samseg.engine.local import Local
from samseg.engine.machine import cpus as cpus_here
from samseg.engine.machine import this_node
from samseg.engine.protocol import (
    Device,
    Engine,
    Heartbeat,
    P,
    R,
    Result,
    Slot,
    Task,
    Work,
    Workers,
)
from samseg.engine.session import Session
from samseg.engine.shares import share_out
from samseg.errors import WorkersError
from samseg.spec import Spec

if TYPE_CHECKING:
    from samseg.engine.cluster import Cluster

_FEW_ROWS = 500_000
"""Rows of tables below which starting Ray and its workers costs more than it saves."""
_sessions: list[Session] = []
"""The open sessions; a map connects to Ray in the first of them."""


class RayPool(Spec):
    """A pool of Ray actors.

    Attributes:
        address: of the Ray cluster; for None see above.
        workers: number of actors. `auto` is as many as fit on the running nodes, re-evaluated
            during the map, and asks an autoscaling cluster for a node per task.
        max_workers: workers that `auto` asks an autoscaler for; a map over tables asks for as many
            CPUs. Workers beyond it run only where nodes are up anyway.
        first_worker_s: how long `auto` waits for a node that holds a worker, before the night ends;
            0 where no autoscaler starts nodes. A node with a GPU takes some minutes to come up and
            to load the image of its container.
        cpus_per_worker: CPUs that Ray reserves for each actor, and its threads. `auto`: with
            GPUs the CPUs of a node split among its GPUs, at most 8; without, 1 up to 4 where a
            node can still hold 4 actors, because one thread each on several images beats several
            threads on one.
        attempts: attempts per task before it is given up, and items of one task that may be
            skipped for killing their worker.
        backoff_s: pause before the second attempt, doubled with each further one up to a minute.
        silence_s: a worker that sends nothing for this long while it loads or works is replaced.
            Must exceed the time for one image and for fetching the weights.
        start_failures: consecutive failed starts, with no worker running, that end the night.
    """

    kind: Literal["ray"] = "ray"
    address: str | None = None
    workers: PositiveInt | Literal["auto"] = "auto"
    max_workers: PositiveInt = 8
    first_worker_s: float = Field(default=900.0, ge=0)
    cpus_per_worker: PositiveInt | Literal["auto"] = "auto"
    attempts: PositiveInt = 5
    backoff_s: float = Field(default=5.0, ge=0)
    silence_s: PositiveFloat = 600.0
    start_failures: PositiveInt = 3

    def map(
        self,
        build: Callable[[Slot], Work[P, R]],
        tasks: Iterable[Task[P] | None],
        device: Device,
        cpus: float | None = None,
    ) -> Iterator[Workers | Heartbeat | Result[P, R]]:
        """See `samseg.engine.protocol.Engine.map`."""
        _set_environment()
        from samseg.engine.pool import Pool
        from samseg.engine.room import Room
        from samseg.engine.scheduler import Scheduler

        scheduler = Scheduler(
            tasks,
            attempts=self.attempts,
            backoff_s=self.backoff_s,
            silence_s=self.silence_s,
        )
        if scheduler.finished:
            return
        with self._connected() as cluster:
            room = Room(
                cluster,
                device,
                workers=self.workers if cpus is None else "auto",
                cpus_per_worker=self.cpus_per_worker if cpus is None else cpus,
                on_gpu_nodes=cpus is None,
                max_workers=self.max_workers,
                first_worker_s=self.first_worker_s,
            )
            session = _sessions[0] if _sessions else None
            if cpus is None and session is not None:
                session.stop_workers()
            pool = Pool(
                scheduler,
                build,
                room,
                session if cpus is not None else None,
                backoff_s=self.backoff_s,
                silence_s=self.silence_s,
                start_failures=self.start_failures,
            )
            yield from pool.run()

    def capacity(self, device: Device) -> int:
        """See `samseg.engine.protocol.Engine.capacity`; no Ray is started for it."""
        if self.workers != "auto":
            return self.workers
        if not self._on_this_machine():
            _set_environment()
            from samseg.engine.cluster import connected

            try:
                with connected(self.address) as cluster:
                    nodes = list(cluster.nodes().values())
            except WorkersError:
                return 0  # planning needs no Ray
        else:
            nodes = [this_node()]
        return share_out(nodes, device, self.cpus_per_worker).workers

    def for_tables(self, rows: int) -> Engine:
        """See `samseg.engine.protocol.Engine.for_tables`: this process, if Ray must start here."""
        if self._on_this_machine() and (rows < _FEW_ROWS or cpus_here() == 1):
            return Local(attempts=self.attempts, backoff_s=self.backoff_s)
        return self

    @contextmanager
    def session(self) -> Iterator[None]:
        """See `samseg.engine.protocol.Engine.session`; Ray starts with the first map."""
        with closing(Session()) as session:
            _sessions.append(session)
            try:
                yield
            finally:
                _sessions.remove(session)

    def _connected(self) -> "AbstractContextManager[Cluster]":
        from samseg.engine.cluster import connected

        connection = connected(self.address)
        if not _sessions:
            return connection
        return nullcontext(_sessions[0].stack.enter_context(connection))

    def _on_this_machine(self) -> bool:
        """Return whether Ray is, or would be, one that this process starts."""
        ray = sys.modules.get("ray")
        if ray is not None and ray.is_initialized():
            from samseg.engine.cluster import started_here

            return started_here()
        return (self.address or os.environ.get("RAY_ADDRESS") or "local") == "local"


def _set_environment() -> None:
    """Set what Ray reads once, when it is first imported.

    The environment is in place on every node, so `uv run` must not recreate it there. What kills a
    worker is recorded in the failures of its task, so Ray need not print it as well.
    """
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
