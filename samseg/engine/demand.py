"""What a map asks an autoscaling Ray cluster for: arithmetic without I/O."""

from collections.abc import Iterable
from dataclasses import dataclass

from samseg.engine.shares import Node, Share


@dataclass(frozen=True, slots=True)
class Demand:
    """Room for some workers.

    Attributes:
        workers: number of workers.
        gpus: GPUs of each worker.
        cpus: CPUs of each worker.
    """

    workers: int
    gpus: int
    cpus: float

    @property
    def bundle(self) -> dict[str, float]:
        """Resources of one worker, as Ray names them."""
        resources = {"GPU": float(self.gpus), "CPU": self.cpus}
        return {name: n for name, n in resources.items() if n}

    def __str__(self) -> str:
        each = ", ".join(f"{name}: {n:g}" for name, n in self.bundle.items())
        return f"{self.workers} x {{{each}}}"


def demand_for(tasks: int, share: Share, nodes: Iterable[Node], *, on_gpu_nodes: bool) -> Demand:
    """Return what to ask for, one worker per task.

    Ray counts all nodes that are up as part of what is asked for, and keeps them. A map that leaves
    the nodes with GPUs alone therefore asks for nothing until they have gone.

    Args:
        tasks: unfinished tasks, at most the workers that may be asked for.
        share: of one worker.
        nodes: that are up.
        on_gpu_nodes: whether the workers are placed on nodes with GPUs.
    """
    keeps_gpus = not on_gpu_nodes and any(node.get("GPU") for node in nodes)
    gpus = int(share.device == "cuda")
    return Demand(0 if keeps_gpus or not (gpus or share.cpus) else tasks, gpus, share.cpus)
