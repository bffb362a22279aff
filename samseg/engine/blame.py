"""What a task has failed of, and which of its items are to blame."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

from samseg.engine.protocol import AnyTask
from samseg.errors import SamsegError

_BLAMED_TO_SKIP = 2


@dataclass(slots=True)
class TaskState:
    """A task that has no result yet.

    Attributes:
        task: the task.
        number: of the attempt, 1 for the first.
        exact: nothing may be prefetched, so that the last heartbeat names the item.
        skip: items that are left out.
        last: items that are done after all others.
        blamed: exact attempts that ended, by item.
        together: attempts that ended with the death of several workers, which blamed nothing.
        tried: places where it failed; True where by an error, False where the worker died.
        failures: one line per failed attempt.
        kind: class of the error that ended the last one, if it was a `SamsegError`.
    """

    task: AnyTask
    number: int = 1
    exact: bool = False
    skip: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()
    blamed: Counter[int] = field(default_factory=Counter)
    together: int = 0
    tried: dict[Hashable, bool] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    kind: type[SamsegError] | None = None

    def note(self, text: str, kind: type[SamsegError] | None = None) -> None:
        """Add a failed attempt, and the class of the error that ended it."""
        self.kind = kind
        self.failures.append(f"attempt {len(self.failures) + 1}: {text}")

    def ended_at(self, index: int | None, attempts: int, *, put_off: bool) -> bool:
        """Blame the item at which an attempt ended; put it off, or skip it.

        Args:
            index: the item, None if it is unknown.
            attempts: items that may be skipped.
            put_off: whether an item is put off before it is skipped.

        Returns:
            Whether an item is skipped from now on; the count of attempts has started again.
        """
        blamed = index if self.exact else None
        self.exact = True
        if blamed is None or blamed in self.skip:
            return False
        self.blamed[blamed] += 1
        if self.blamed[blamed] < _BLAMED_TO_SKIP or len(self.skip) >= attempts:
            return False
        if put_off and blamed not in self.last:
            self.last |= {blamed}
            return False
        self.skip |= {blamed}
        self.number = 1
        return True
