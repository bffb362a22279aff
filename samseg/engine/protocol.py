"""The protocol between stages and engines, and the messages they exchange.

A stage passes an engine small tasks and a `build` that makes the work in each worker; the engine
yields heartbeats and results. All messages are kilobytes: pixels, features and embeddings go from
workers to storage only.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from samseg.errors import SamsegError

Device = Literal["auto", "cpu", "cuda"]
"""Device of a map; `auto` is GPUs where there are any, else CPUs."""

P = TypeVar("P")
"""The payload of a task."""

R = TypeVar("R")
"""What the work returns for a task."""

P_contra = TypeVar("P_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Slot:
    """The resources of one worker.

    Attributes:
        device: `cpu`, or `cuda` for the one GPU that the worker sees.
        threads: CPU threads that this worker may use.
        decode_limit_s: files are decoded in child processes, each within this time; None where the
            worker itself may die, and is stopped if it sends no heartbeat for long.
    """

    device: Literal["cpu", "cuda"]
    threads: int
    decode_limit_s: float | None = None


@dataclass(frozen=True, slots=True)
class Task(Generic[P]):
    """One unit of work, retried and given up as a whole.

    Attributes:
        id: identifies the task in heartbeats and logs; unique within a map.
        payload: input of the work; picklable, a few kilobytes.
    """

    id: str
    payload: P


@dataclass(frozen=True, slots=True)
class Attempt(Generic[P]):
    """One attempt at a task.

    Attributes:
        number: 1 for the first.
        skip: positions of items that killed their process before and must be skipped (for the
            embed stage an item is an image, in reading order, and becomes a `crashed` row).
        exact: do not prefetch, so that the last heartbeat names the item being worked on.
        upcoming: the task that this worker will probably get next, for prefetching.
        last: positions of items that must be done after all others, because workers died at them.
    """

    number: int = 1
    skip: frozenset[int] = frozenset()
    exact: bool = False
    upcoming: Task[P] | None = None
    last: frozenset[int] = frozenset()

    def upcoming_item(self, position: int) -> int:
        """Return the first item from `position` on that is not put off."""
        while position in self.last:
            position += 1
        return position


@dataclass(frozen=True, slots=True)
class Workers:
    """The number of workers, whenever it changes.

    Attributes:
        ready: workers that accept tasks. No task runs before the first event with one of these.
        starting: workers that load what they work with.
    """

    ready: int
    starting: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Sign of life, sent before work on each item of a task starts.

    Attributes:
        task_id: the task being worked on.
        index: position of the next item; None after the last one.
        counts: counters of this task so far, by name.
    """

    task_id: str
    index: int | None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result(Generic[P, R]):
    """The result of one task.

    Attributes:
        task: the task.
        value: what the work returned; None when the task was given up.
        failures: one line per failed attempt.
        kind: class of the error that ended the last attempt of a task that was given up, if it was
            a `SamsegError`.
    """

    task: Task[P]
    value: R | None
    failures: tuple[str, ...] = ()
    kind: type[SamsegError] | None = None


class Work(Protocol[P, R_co]):
    """The function that a worker runs on one task: yields heartbeats, returns one small value."""

    def __call__(self, task: Task[P], attempt: Attempt[P]) -> Generator[Heartbeat, None, R_co]:
        """Work on `task`; every object it writes is create-only, so it may run twice.

        A work that has threads has a method `close()`, which ends them; the engine calls it.
        """
        ...


class Engine(Protocol):
    """Runs work over tasks. `Local` and `RayPool` are the two implementations."""

    def map(
        self,
        build: Callable[[Slot], Work[P, R]],
        tasks: Iterable[Task[P] | None],
        device: Device,
        cpus: float | None = None,
    ) -> Iterator[Workers | Heartbeat | Result[P, R]]:
        """Yield heartbeats as they come and exactly one result per task, in any order.

        `Workers` tells how many there are; what a consumer does at the first one that is ready
        happens before any task runs.

        Args:
            build: runs once per worker, in the worker (it loads the model); must be picklable.
            tasks: drawn lazily, never far ahead of the work. None in place of a task means that
                there is none before another one has its result.
            device: device of all workers of this map. It is a property of the map, not of a task,
                because `build` prepares a worker for one kind of task.
            cpus: CPUs and threads of a worker that reads and writes tables: as many workers run as
                the nodes have CPUs, on nodes without GPUs if there are any. None for workers that
                hold models, whose number and CPUs are settings of the engine. 0 reserves none, for
                a worker that waits for other maps, which need the CPUs.

        Raises:
            WorkersError: workers repeatedly fail to start, or no node of a cluster holds one.
            DeviceError: `device` is `cuda` and the engine has no GPU.
        """
        ...

    def capacity(self, device: Device) -> int:
        """Return the number of workers that a map would have now, 0 if that is unknown."""
        ...

    def for_tables(self, rows: int) -> "Engine":
        """Return the engine for maps over tables of that many rows altogether.

        It is another one where starting workers would take longer than the work.
        """
        ...

    def session(self) -> AbstractContextManager[None]:
        """Keep what a map connects to or starts for the maps after it, until the block ends."""
        ...


AnyTask = Task[Any]
AnyWork = Work[Any, Any]
AnyResult = Result[Any, Any]
