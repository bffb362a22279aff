"""The engine protocol: what stages ask of an engine, and what passes between them.

A stage hands an engine small tasks and a `build` that makes the work in each worker; heartbeats
and results come back. All of them are kilobytes: pixels, features and embeddings pass from workers
to storage and nowhere else.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

Device = Literal["auto", "cpu", "cuda"]
"""What a map runs on; `auto` is GPUs where there are any, else CPUs."""

P = TypeVar("P")
"""The payload of a task."""

R = TypeVar("R")
"""What the work returns for a task."""

P_contra = TypeVar("P_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one worker runs.

    Attributes:
        device: `cpu`, or `cuda` for the one GPU that the worker sees.
        threads: CPU threads that are this worker's share.
    """

    device: Literal["cpu", "cuda"]
    threads: int


@dataclass(frozen=True, slots=True)
class Task(Generic[P]):
    """One unit of work, retried and given up as a whole.

    Attributes:
        id: names the task in heartbeats and logs; unique within a map.
        payload: what the work needs to know; a few kilobytes that pickle.
    """

    id: str
    payload: P


@dataclass(frozen=True, slots=True)
class Attempt(Generic[P]):
    """One attempt at a task.

    Attributes:
        number: 1 for the first.
        skip: positions of items that killed their process before, not to be touched again (for
            the embed stage an item is an image, in reading order, and becomes a `crashed` row).
        exact: do not prefetch, so that the last heartbeat names the item being worked on.
        upcoming: the task that this worker will probably get next, for prefetching.
    """

    number: int = 1
    skip: frozenset[int] = frozenset()
    exact: bool = False
    upcoming: Task[P] | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Sign of life, sent before each item of a task is touched.

    Attributes:
        task_id: the task being worked on.
        index: position of the item about to be touched.
        counts: what has been done of this task so far, by name.
    """

    task_id: str
    index: int
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result(Generic[P, R]):
    """How one task ended.

    Attributes:
        task: the task.
        value: what the work returned; None when the task was given up.
        failures: one line per failed attempt.
    """

    task: Task[P]
    value: R | None
    failures: tuple[str, ...] = ()


class Work(Protocol[P, R_co]):
    """What a worker does with one task: yields heartbeats, returns one small value."""

    def __call__(self, task: Task[P], attempt: Attempt[P]) -> Generator[Heartbeat, None, R_co]:
        """Work on `task`; every object it writes is create-only, so it may run twice."""
        ...


class Engine(Protocol):
    """Runs work over tasks. `Local` and `RayPool` are the two implementations."""

    def map(
        self,
        build: Callable[[Slot], Work[P, R]],
        tasks: Iterable[Task[P]],
        device: Device,
    ) -> Iterator[Heartbeat | Result[P, R]]:
        """Yield heartbeats as they come and exactly one result per task, in any order.

        Args:
            build: runs once per worker, in the worker (it loads the model); it must pickle.
            tasks: drawn lazily, never far ahead of the work.
            device: what all workers of this map run on. It belongs to the map and not to a task,
                because `build` prepares a worker for one kind of task.

        Raises:
            WorkersError: workers repeatedly fail to start.
            DeviceError: `device` is `cuda` and the engine has no GPU.
        """
        ...


AnyTask = Task[Any]
AnyWork = Work[Any, Any]
AnyResult = Result[Any, Any]
