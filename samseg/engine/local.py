"""The engine in this process: one worker, no Ray.

For debugging, tests, and machines without Ray. An image that kills its process kills the night
here, and a hang stays a hang: use `RayPool` for anything unattended.
"""

import ctypes
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Literal

from pydantic import Field, PositiveInt

from samseg.engine.failure import Failure, build_work, try_shard
from samseg.engine.protocol import Attempt, Beat, Outcome, Receipt, Slot, Work
from samseg.engine.scheduler import Scheduler
from samseg.errors import DeviceError, WorkersError
from samseg.spec import Spec
from samseg.types import Shard


class Local(Spec):
    """One worker in this process.

    Attributes:
        threads: CPU threads that the worker may use; `auto` is every core of this process.
        attempts: tries per shard before it is given up.
        backoff_s: pause before the second try, doubled with each further one.
    """

    kind: Literal["local"] = "local"
    threads: PositiveInt | Literal["auto"] = "auto"
    attempts: PositiveInt = 5
    backoff_s: float = Field(default=5.0, ge=0)

    def map(
        self,
        build: Callable[[Slot], Work],
        shards: Iterable[Shard],
        device: Literal["auto", "cpu", "cuda"],
    ) -> Iterator[Beat | Outcome]:
        """See `samseg.engine.protocol.Engine.map`."""
        scheduler = Scheduler(shards, attempts=self.attempts, backoff_s=self.backoff_s)
        if scheduler.finished:
            return
        work = build_work(build, Slot(_resolve(device), self._threads()))
        if isinstance(work, Failure):
            raise (
                work.error()
                if not work.retry
                else WorkersError(f"the worker did not start: {work.text}")
            )
        scheduler.join(self)
        while not scheduler.finished:
            now = time.monotonic()
            job = scheduler.assign(self, now)
            if job is None:
                time.sleep(scheduler.pause(now))
            else:
                yield from self._attempt(scheduler, work, *job)

    def _attempt(
        self, scheduler: Scheduler, work: Work, shard: Shard, attempt: Attempt
    ) -> Iterator[Beat | Outcome]:
        outcome: Outcome | None = None
        with closing(try_shard(work, shard, attempt)) as words:
            for said in words:
                if isinstance(said, Beat):
                    scheduler.heard(self, time.monotonic(), said.index)
                    yield said
                elif isinstance(said, Receipt):
                    outcome = scheduler.succeeded(self, said)
                elif said.ends_night:
                    raise said.error()
                else:
                    outcome = scheduler.failed(self, said, time.monotonic())
        if outcome is not None:
            yield outcome

    def _threads(self) -> int:
        if self.threads != "auto":
            return self.threads
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1


def _resolve(device: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    if device == "cpu":
        return "cpu"
    if _cuda_devices() > 0:
        return "cuda"
    if device == "cuda":
        raise DeviceError(
            "device is cuda, and this process sees no CUDA device; "
            "check the driver with nvidia-smi, or set device to cpu"
        )
    return "cpu"


def _cuda_devices() -> int:
    """Ask the CUDA driver, so that this module needs no torch."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
