"""Maps over the tables of committed shards: what the stages after `embed` share.

Workers read and write the parts of whole shards. Several shards make a task, so that a lake of a
million shards is not a million messages; the driver receives counts and small arrays only.
"""

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Generic, Self, TypeVar

from samseg.engine.protocol import Attempt, Engine, Heartbeat, Result, Slot, Task, Work
from samseg.errors import StorageError

T = TypeVar("T")
R = TypeVar("R")

_TASKS = 256
"""Tasks that a map has, as long as none has more than `_SHARDS` shards."""
_SHARDS = 64
ROWS_PER_PART = 500
"""Rows of tables that are read in the time that opening a part takes."""
_AT_A_TIME = 4
"""Shards that a worker reads and writes at a time, to wait for the store less."""
_HEARTBEAT_S = 5.0


def grouped(shards: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """Divide shards into what one task does."""
    size = max(1, min(_SHARDS, len(shards) // _TASKS))
    for start in range(0, len(shards), size):
        yield tuple(shards[start : start + size])


def tasks_of(shards: Sequence[str]) -> Iterator[Task[tuple[str, ...]]]:
    """Yield tasks of some shards each."""
    return (Task(group[0], group) for group in grouped(shards))


def each(
    task_id: str,
    items: Sequence[T],
    attempt: Attempt[Any],
    of_item: Callable[[T], R],
) -> Generator[Heartbeat, None, list[R]]:
    """Call a function on every item of a task, several at a time.

    Args:
        task_id: of the task.
        items: its items, shards mostly.
        attempt: the attempt; one that looks for what kills workers has no second thread.
        of_item: returns something small; thread-safe.

    Returns:
        What it returned, in the order of `items`.

    Raises:
        StorageError: an item killed its workers; leaving it out would lose it.
    """
    if attempt.skip:
        raise _FatalError(f"every worker dies at the tables of {items[min(attempt.skip)]}")
    done: list[R] = []
    alone = attempt.exact or _AT_A_TIME == 1
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        ahead = [] if alone else [threads.submit(of_item, item) for item in items]
        try:
            for index, item in enumerate(items):
                yield Heartbeat(task_id, index)
                done.append(ahead[index].result() if ahead else of_item(item))
        finally:
            threads.shutdown(cancel_futures=True)
    return done


class PerItem(Generic[T, R]):
    """Work on items that needs nothing loaded: workers receive the object itself."""

    __slots__ = ()

    def build(self, slot: Slot) -> Self:
        """Return the work."""
        return self

    def __call__(
        self, task: Task[Sequence[T]], attempt: Attempt[Any]
    ) -> Generator[Heartbeat, None, Sequence[R]]:
        """Do the items of one task; returns what `of_item` returned for each, in order."""
        return (yield from each(task.id, task.payload, attempt, self.of_item))

    def of_item(self, item: T) -> R:
        """Do one item and return something small; thread-safe."""
        raise NotImplementedError


def alive(task_id: str, slot: Slot, function: Callable[[], R]) -> Generator[Heartbeat, None, R]:
    """Call a function that may take minutes, with heartbeats where the engine waits for them.

    Args:
        task_id: of the task.
        slot: of the worker.
        function: what to call.
    """
    yield Heartbeat(task_id, 0)
    if slot.decode_limit_s is not None:
        return function()
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(function)
        while not wait([future], _HEARTBEAT_S).done:
            yield Heartbeat(task_id, 0)
    return future.result()


def results(
    engine: Engine,
    build: Callable[[Slot], Work[Any, R]],
    tasks: Iterable[Task[Any] | None],
    cpus: float = 1,
) -> Iterator[R]:
    """Run a map over tables and yield the results of its tasks, in any order.

    `cpus` is what Ray reserves for a worker, as in `Engine.map`.

    Raises:
        SamsegError: a task failed, whatever the engine tried; with the class of its error.
        WorkersError: workers cannot start.
    """
    for event in engine.map(build, tasks, "cpu", cpus=cpus):
        if isinstance(event, Result):
            if event.value is None:
                last = re.sub(r"^attempt \d+: ", "", event.failures[-1])
                raise (event.kind or StorageError)(last)
            yield event.value


class _FatalError(StorageError):
    """An error of tables that ends workers; retrying does not help."""

    retry = False
