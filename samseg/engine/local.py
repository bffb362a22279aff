"""The engine in this process: one worker, no Ray.

For debugging, tests, and machines without Ray. Files are decoded in child processes, so none of
them can stop or crash a night. An image at which the model crashes ends it, and nothing interrupts
a hang there: use `RayPool` for unattended runs.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from samseg import interruption
from samseg.engine.failure import Done, Failure, attempt_task, build_work
from samseg.engine.machine import cpus, cuda_devices
from samseg.engine.protocol import (
    AnyResult,
    AnyTask,
    AnyWork,
    Attempt,
    Device,
    Heartbeat,
    P,
    R,
    Result,
    Slot,
    Task,
    Work,
    Workers,
)
from samseg.engine.scheduler import Scheduler
from samseg.errors import DeviceError, WorkersError
from samseg.spec import Spec


class Local(Spec):
    """One worker in this process.

    Attributes:
        threads: CPU threads that the worker may use; `auto` is all cores of this process.
        attempts: attempts per task before it is given up.
        backoff_s: pause before the second attempt, doubled with each further one.
        silence_s: a file whose decoding takes longer is recorded as `timeout`.
    """

    kind: Literal["local"] = "local"
    threads: PositiveInt | Literal["auto"] = "auto"
    attempts: PositiveInt = 5
    backoff_s: float = Field(default=5.0, ge=0)
    silence_s: PositiveFloat = 600.0

    def map(
        self,
        build: Callable[[Slot], Work[P, R]],
        tasks: Iterable[Task[P] | None],
        device: Device,
        cpus: float | None = None,
    ) -> Iterator[Workers | Heartbeat | Result[P, R]]:
        """See `samseg.engine.protocol.Engine.map`; there is one worker, whatever `cpus` is."""
        scheduler = Scheduler(tasks, attempts=self.attempts, backoff_s=self.backoff_s)
        if scheduler.finished:
            return
        yield Workers(ready=0, starting=1)
        work = build_work(build, Slot(_resolve(device), self._threads(), self.silence_s))
        if isinstance(work, Failure):
            raise (
                work.error()
                if not work.retry
                else WorkersError(f"the worker did not start: {work.text}")
            )
        scheduler.join(self)
        try:
            yield Workers(ready=1, starting=0)
            while not scheduler.finished:
                now = time.monotonic()
                assigned = scheduler.assign(self, now)
                if assigned is None:
                    time.sleep(scheduler.pause(now))
                else:
                    yield from self._attempt(scheduler, work, *assigned)
        finally:
            if (close := getattr(work, "close", None)) is not None:
                close()

    def capacity(self, device: Device) -> int:
        """See `samseg.engine.protocol.Engine.capacity`."""
        return 1

    def for_tables(self, rows: int) -> "Local":
        """See `samseg.engine.protocol.Engine.for_tables`."""
        return self

    def session(self) -> AbstractContextManager[None]:
        """See `samseg.engine.protocol.Engine.session`; there is nothing to keep."""
        return nullcontext()

    def _attempt(
        self, scheduler: Scheduler, work: AnyWork, task: AnyTask, attempt: Attempt[Any]
    ) -> Iterator[Heartbeat | AnyResult]:
        result: AnyResult | None = None
        with closing(attempt_task(work, task, attempt)) as messages:
            for message in messages:
                interruption.check()
                if isinstance(message, Heartbeat):
                    scheduler.heartbeat(self, time.monotonic(), message.index)
                    yield message
                elif isinstance(message, Done):
                    result = scheduler.succeeded(self, message.value)
                elif message.ends_night:
                    raise message.error()
                else:
                    result = scheduler.failed(self, message, time.monotonic())
        if result is not None:
            yield result

    def _threads(self) -> int:
        return cpus() if self.threads == "auto" else self.threads


def _resolve(device: Device) -> Literal["cpu", "cuda"]:
    if device == "cpu":
        return "cpu"
    if cuda_devices() > 0:
        return "cuda"
    if device == "cuda":
        raise DeviceError(
            "device is cuda, and this process sees no CUDA device; "
            "check the driver with nvidia-smi, or set device to cpu"
        )
    return "cpu"
