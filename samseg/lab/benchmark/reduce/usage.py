"""CPU seconds, memory and requests of a piece of work and the processes that it starts."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from samseg.lab.benchmark.processes import process_tree
from samseg.spec import Spec
from samseg.storage import ObjectStorage

_EVERY_S = 0.1
_REQUESTS = ("list", "get", "stream", "stat", "exists", "folders", "put_new")


class Usage(Spec):
    """What a piece of work cost.

    Attributes:
        wall_s: wall seconds.
        cpu_s: CPU seconds of this process and all processes below it, also those that have ended;
            of these, up to a tenth of a second each is missing.
        driver_bytes: peak resident memory of this process during the work, as sampled.
        worker_bytes: the largest peak of a Python process below it; 0 without one.
        requests: calls of the storage in this process, by kind.
    """

    wall_s: float
    cpu_s: float
    driver_bytes: int
    worker_bytes: int
    requests: dict[str, int]


class UsageMeter:
    """Samples the tree of processes; `usage` is there when the block has ended."""

    usage: Usage

    def __init__(self) -> None:
        """Start nothing yet."""
        self._cpu: dict[tuple[int, str], float] = {}
        self._driver = self._worker = 0
        self._ended = threading.Event()

    def __enter__(self) -> "UsageMeter":
        """Start to sample."""
        self._before = {p.key: p.cpu_s for p in process_tree()}
        self._requests: Counter[str] = Counter()
        self._counting = _counted(self._requests)
        self._counting.__enter__()
        self._started = time.perf_counter()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop, and add up."""
        wall = time.perf_counter() - self._started
        self._ended.set()
        self._thread.join()
        self._look()
        self._counting.__exit__(None, None, None)
        cpu = sum(seconds - self._before.get(key, 0.0) for key, seconds in self._cpu.items())
        self.usage = Usage(
            wall_s=wall,
            cpu_s=cpu,
            driver_bytes=self._driver,
            worker_bytes=self._worker,
            requests=dict(self._requests),
        )

    def _sample(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._look()

    def _look(self) -> None:
        for process in process_tree():
            self._cpu[process.key] = process.cpu_s
            if process.own:
                self._driver = max(self._driver, process.resident_bytes)
            elif process.name.startswith(("ray::", "python")):
                self._worker = max(self._worker, process.resident_bytes)


@contextmanager
def _counted(requests: Counter[str]) -> Iterator[None]:
    """Count the calls of every `ObjectStorage` of this process."""
    before = {name: getattr(ObjectStorage, name) for name in _REQUESTS}

    def counting(name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            requests[name] += 1
            return before[name](*arguments, **options)

        return call

    for name in _REQUESTS:
        setattr(ObjectStorage, name, counting(name))
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(ObjectStorage, name, method)
