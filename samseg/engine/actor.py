"""What runs in a Ray actor: it builds the work once, then does one attempt after another.

Every method is a generator of plain values whose last word says how it ended; no exception leaves
it. The driver's side is `pool.py`.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import ray

from samseg.engine.failure import Failure, build_work, try_shard
from samseg.engine.protocol import Attempt, Beat, Receipt, Slot, Work
from samseg.errors import DeviceError
from samseg.types import Shard


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """First word of a new worker: it has a process, and starts to build.

    Attributes:
        node: id of the node it runs on.
        pid: its process there.
    """

    node: str
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The work is built; shards may come."""


class Worker:
    """One worker; Ray makes it an actor."""

    _work: Work

    def start(
        self, build: Callable[[Slot], Work], slot: Slot
    ) -> Iterator[WorkerStarted | WorkerReady | Failure]:
        """Say hello, check the device, build the work."""
        yield WorkerStarted(ray.get_runtime_context().get_node_id(), os.getpid())
        problem = _gpu_problem() if slot.device == "cuda" else None
        built = problem or build_work(build, slot)
        if isinstance(built, Failure):
            yield built
        else:
            self._work = built
            yield WorkerReady()

    def run(self, shard: Shard, attempt: Attempt) -> Iterator[Beat | Receipt | Failure]:
        """Run one attempt."""
        yield from try_shard(self._work, shard, attempt)


def _gpu_problem() -> Failure | None:
    """Check that this process has one GPU, and sees no other."""
    given = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    seen = [d for d in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if d]
    if len(given) == 1 and len(seen) == 1:
        return None
    return Failure.of(
        DeviceError(
            f"a worker was given {len(given)} GPUs and CUDA_VISIBLE_DEVICES is {','.join(seen)!r}, "
            "wanted one of each; unset RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES on the nodes"
        )
    )
