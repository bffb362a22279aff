"""The room that a cluster has for the workers of one map, and the nodes that the map asks for.

Ray has no public call that says whether a cluster has an autoscaler. So every map with
`workers: auto` asks, which changes nothing where nobody listens, and waits only where no running
node holds a worker.
"""

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from samseg.engine.demand import Demand, demand_for
from samseg.engine.protocol import Device
from samseg.engine.shares import Share, require_room, share_out, without_gpus
from samseg.errors import WorkersError

if TYPE_CHECKING:
    from samseg.engine.cluster import Cluster

_log = logging.getLogger(__name__)
_NODES_EVERY_S = 10.0  # between queries of the nodes of the cluster
_NODES_AWAITED_EVERY_S = 1.0
_NOTE_EVERY_S = 60.0
_SHORT_MAP_S = 30.0  # a map over tables that takes no longer ends before a new node is up


class Room:
    """The nodes of a cluster, and how many workers of one map they hold.

    Args:
        cluster: the Ray to run on, connected.
        device: what each worker runs on.
        workers: how many; `auto` is as many as the nodes hold.
        cpus_per_worker: see `share_out`.
        on_gpu_nodes: whether workers on CPUs are placed on nodes with GPUs, too.
        max_workers: workers that `auto` asks an autoscaler for.
        first_worker_s: seconds that `auto` waits for a node that holds a worker.

    Attributes:
        nodes: resources of the nodes that are alive, by node id.
        share: what one worker gets.

    Raises:
        DeviceError: `device` is `cuda`, and this machine alone, without a GPU, is the cluster.
        WorkersError: this machine alone is the cluster, and has too few CPUs for a worker.
    """

    def __init__(
        self,
        cluster: "Cluster",
        device: Device,
        *,
        workers: int | Literal["auto"],
        cpus_per_worker: float | Literal["auto"],
        on_gpu_nodes: bool,
        max_workers: int,
        first_worker_s: float,
    ):
        self._cluster = cluster
        self._device: Device = device
        self._wanted = workers
        self._cpus_per_worker: float | Literal["auto"] = cpus_per_worker
        self._on_gpu_nodes = on_gpu_nodes
        self._first_worker_s = first_worker_s
        self._grows = workers == "auto" and not cluster.own
        self._asked: Demand | None = None
        self._began = self._held_at = self._noted_at = time.monotonic()
        self.max_workers = max_workers if self._grows else 0
        self.look()
        if cluster.own:
            require_room(self.share, self.nodes.values())

    @property
    def workers(self) -> int:
        """Workers to start, those that run included."""
        return self.share.workers if self._wanted == "auto" else self._wanted

    def look(self) -> None:
        """Query the nodes that are alive."""
        self._looked_at = time.monotonic()
        self.nodes = self._cluster.nodes()
        every = list(self.nodes.values())
        nodes = every if self._on_gpu_nodes else without_gpus(every)
        self.share: Share = share_out(nodes, self._device, self._cpus_per_worker)

    def update(self, tasks: int, workers: int) -> None:
        """Query the nodes and ask for more, from time to time.

        Args:
            tasks: unfinished tasks, at most `max_workers`.
            workers: workers that there are.

        Raises:
            WorkersError: no node has held a worker for `first_worker_s`.
        """
        now = time.monotonic()
        awaited = self._grows and not self.share.workers and not workers
        due = now - self._looked_at > (_NODES_AWAITED_EVERY_S if awaited else _NODES_EVERY_S)
        if due:
            self.look()
        if due or self._asked is None:
            self._ask(tasks, now)
        if not awaited:
            self._held_at = now
        elif now - self._held_at >= self._first_worker_s:
            raise self._no_room()
        elif now - self._noted_at > _NOTE_EVERY_S:
            self._noted_at = now
            _log.warning("waiting for a node: Ray was asked for %s", self._asked)

    def close(self) -> None:
        """Ask for nothing more, so that the autoscaler stops nodes that become idle."""
        if self._asked is not None:
            self._cluster.request(replace(self._asked, workers=0))

    def _ask(self, tasks: int, now: float) -> None:
        """Ask for what the tasks need, also again: another driver's request replaces this one."""
        if not self._grows:
            return
        if not self._on_gpu_nodes and self.share.workers and now - self._began < _SHORT_MAP_S:
            return
        nodes = self.nodes.values()
        self._asked = demand_for(tasks, self.share, nodes, on_gpu_nodes=self._on_gpu_nodes)
        self._cluster.request(self._asked)

    def _no_room(self) -> WorkersError:
        return WorkersError(
            f"no node of the Ray cluster held a worker within {self._first_worker_s:g} s, although "
            f"Ray was asked for {self._asked}; the cluster has {len(self.nodes)} nodes. Start such "
            "nodes, or correct the autoscaler's node types and quotas, engine.cpus_per_worker, or "
            "model.device; engine.first_worker_s is how long to wait"
        )
