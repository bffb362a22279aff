"""Divide the resources of a cluster among workers: arithmetic without I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from samseg.errors import DeviceError, WorkersError

_GPU_THREADS = 8  # decoding and pooling for one GPU use no more
_CPU_THREADS = 4  # torch gains little from more on one image
_CPU_WORKERS = 4  # per node, before a worker gets a second thread

Node = Mapping[str, float]
"""The resources of one node as Ray names them: `{"CPU": 8.0, "GPU": 1.0, ...}`."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker gets.

    Attributes:
        device: `cuda` with one GPU, or `cpu`.
        threads: CPU threads it may use.
        cpus: CPUs reserved for it; less than `threads` only on nodes with fewer CPUs than GPUs.
        workers: number of such shares that fit on the nodes.
    """

    device: Literal["cpu", "cuda"]
    threads: int
    cpus: float
    workers: int


def share_out(
    nodes: Iterable[Node],
    device: Literal["auto", "cpu", "cuda"],
    cpus_per_worker: float | Literal["auto"],
) -> Share:
    """Decide what each worker gets; `auto` uses GPUs if any node has one.

    Nodes may differ: the share fits every node of the kind that is used.
    """
    cpus_and_gpus = [(n.get("CPU", 0.0), int(n.get("GPU", 0.0))) for n in nodes]
    with_gpus = [(cpus, gpus) for cpus, gpus in cpus_and_gpus if gpus]
    if device == "cuda" or (device == "auto" and with_gpus):
        fair = min((cpus / gpus for cpus, gpus in with_gpus), default=1.0)
        wanted = (
            float(cpus_per_worker)
            if cpus_per_worker != "auto"
            else min(fair, 1.0)
            if fair < 1
            else min(_GPU_THREADS, fair // 1)
        )
        fits = sum(min(gpus, _times(cpus, wanted)) for cpus, gpus in with_gpus)
        return Share("cuda", max(1, int(wanted)), wanted, fits)
    cpus = [int(cpus) for cpus, _ in cpus_and_gpus if cpus >= 1 or cpus_per_worker == 0]
    wanted = (
        float(cpus_per_worker)
        if cpus_per_worker != "auto"
        else max(1.0, min(_CPU_THREADS, min(cpus, default=1) // _CPU_WORKERS))
    )
    return Share("cpu", max(1, int(wanted)), wanted, sum(_times(c, wanted) for c in cpus))


def without_gpus(nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes with CPUs and no GPU, on which work on tables is placed; all if none is."""
    every = list(nodes)
    return [n for n in every if n.get("CPU", 0) >= 1 and not n.get("GPU")] or every


def require_room(share: Share, nodes: Iterable[Node]) -> None:
    """Check that the nodes of a Ray started here hold a worker, because no other will join.

    Raises:
        DeviceError: the share is of a GPU, and this machine has none.
        WorkersError: it has too few CPUs.
    """
    if share.workers:
        return
    if share.device == "cuda" and not any(node.get("GPU", 0) for node in nodes):
        raise DeviceError(
            "device is cuda, and this machine has no GPU; set model.device to cpu, or "
            "engine.address to a Ray cluster with GPUs"
        )
    raise WorkersError(
        f"this machine lacks the {share.cpus:g} CPUs that one worker needs; lower "
        "engine.cpus_per_worker"
    )


def _times(cpus: float, wanted: float) -> int:
    """Return how often `wanted` CPUs fit into `cpus`; unbounded when none are wanted."""
    return int(cpus / wanted + 1e-9) if wanted else 1 << 30
