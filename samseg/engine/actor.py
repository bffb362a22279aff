"""The worker in a Ray actor: it builds the work once, then runs one attempt after another.

Every method is a generator of plain values, the last of which is its result; it never raises. The
driver's side is `pool.py`.
"""

import logging
import os
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

import ray

from samseg.engine.failure import Done, Failure, attempt_task, build_work
from samseg.engine.protocol import AnyTask, AnyWork, Attempt, Heartbeat, Slot
from samseg.errors import DeviceError, redact

_HEARTBEAT_EVERY_S = 1.0  # of attempts that may prefetch


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """The first message of a new worker: its process runs and starts to build the work.

    Attributes:
        node: id of its node.
        pid: id of its process.
        gpu: its GPU on that node, None for a worker on CPUs.
    """

    node: str
    pid: int
    gpu: str | None = None

    @property
    def place(self) -> Hashable:
        """What may be at fault, whatever process works there: the GPU, else the process."""
        return (self.node, self.gpu) if self.gpu is not None else (self.node, self.pid)


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The work is built; the worker accepts tasks."""


class _Redacted(logging.Formatter):
    """Formats a record without credentials, also those in its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class Worker:
    """One worker; Ray makes it an actor."""

    _work: AnyWork

    def start(
        self, build: Callable[[Slot], AnyWork], slot: Slot
    ) -> Iterator[WorkerStarted | WorkerReady | Failure]:
        """Report the process, check the device, build the work, in place of that of another map."""
        _log_redacted()
        if (close := getattr(getattr(self, "_work", None), "close", None)) is not None:
            close()
        context = ray.get_runtime_context()
        gpus = context.get_accelerator_ids().get("GPU", []) if slot.device == "cuda" else []
        gpu = ",".join(map(str, gpus)) if gpus else None
        yield WorkerStarted(context.get_node_id(), os.getpid(), gpu)
        problem = _gpu_problem() if slot.device == "cuda" else None
        built = problem or build_work(build, slot)
        if isinstance(built, Failure):
            yield built
        else:
            self._work = built
            yield WorkerReady()

    def run(
        self, task: AnyTask, attempt: Attempt[Any]
    ) -> Iterator[Heartbeat | Done[Any] | Failure]:
        """Run one attempt."""
        sent_at = -inf
        for message in attempt_task(self._work, task, attempt):
            if isinstance(message, Heartbeat):
                now = time.monotonic()
                if not attempt.exact and message.index and now - sent_at < _HEARTBEAT_EVERY_S:
                    continue  # the next one counts what this one does
                sent_at = now
            yield message


def _log_redacted() -> None:
    """Write samseg's log records to stderr, which Ray keeps in a file."""
    log, handler = logging.getLogger("samseg"), logging.StreamHandler()
    handler.setFormatter(_Redacted("%(levelname)s %(name)s: %(message)s"))
    log.handlers, log.propagate = [handler], False


def _gpu_problem() -> Failure | None:
    """Check that this process has exactly one GPU, and sees no other."""
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
