"""Errors of a worker as plain values.

An exception may hold anything, so none is sent from one process to another: a `Failure` is text,
whether a retry can help, and the error's class where it is a `SamsegError`. All blanket `except`
clauses of samseg are here, except that of the command line. Errors of a single image do not reach
this module: the work records them as rows.
"""

import logging
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic

from samseg.engine.protocol import Attempt, Heartbeat, P, R, Slot, Task, Work
from samseg.errors import CheckpointError, DeviceError, OutageError, SamsegError, one_line

_log = logging.getLogger(__name__)
_LIMIT = 1000
"""Characters of an error that says what to do next, at its end."""
_NO_DEFECT = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends a process; other errors that are no `Exception` are panics of libraries in Rust."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a value.

    Attributes:
        text: one bounded line without credentials.
        retry: whether a retry can help.
        kind: the error's class where it is a `SamsegError` that takes only a message.
    """

    text: str
    retry: bool = True
    kind: type[SamsegError] | None = None

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Describe `error`; any error other than a `SamsegError` is retried."""
        _log.warning("%s", one_line(error), exc_info=error)
        if not isinstance(error, SamsegError):
            return cls(one_line(error))
        plain = type(error).__init__ is SamsegError.__init__
        return cls(one_line(error, _LIMIT), error.retry, type(error) if plain else None)

    @property
    def ends_night(self) -> bool:
        """Whether no task can succeed, because the device or the weights failed."""
        return self.kind is not None and issubclass(self.kind, CheckpointError | DeviceError)

    @property
    def outage(self) -> bool:
        """Whether nothing can be read, so that giving up a task would be no verdict about it."""
        return self.kind is not None and issubclass(self.kind, OutageError)

    def error(self) -> SamsegError:
        """Return the error to raise where the failure ends the night."""
        return (self.kind or SamsegError)(self.text)


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """The last message of an attempt that succeeded: what the work returned."""

    value: R


def build_work(build: Callable[[Slot], Work[P, R]], slot: Slot) -> Work[P, R] | Failure:
    """Call `build`; return its error as a value."""
    try:
        return build(slot)
    except _NO_DEFECT:
        raise
    except BaseException as error:
        return Failure.of(error)


def attempt_task(
    work: Work[P, R], task: Task[P], attempt: Attempt[P]
) -> Generator[Heartbeat | Done[R] | Failure, None, None]:
    """Run one attempt: heartbeats as they come, then exactly one `Done` or `Failure`."""
    try:
        value = yield from work(task, attempt)
    except _NO_DEFECT:
        raise
    except BaseException as error:
        yield Failure.of(error)
    else:
        yield Done(value)


@contextmanager
def start_errors() -> Iterator[None]:
    """Raise any error of a Ray that starts as a `RuntimeError`; some are plain `Exception`s."""
    try:
        yield
    except Exception as error:
        raise RuntimeError(str(error)) from error


def cause_of_death(error: Exception) -> str:
    """Return the cause of an actor's death as one line, without Ray's ids and advice."""
    if isinstance(error, StopIteration):
        return "worker stopped sending in the middle of its task"
    detail = re.search(r"Worker exit detail: (.+?)(?: Some common causes|$)", str(error), re.M)
    return "worker died: " + (detail.group(1) if detail else one_line(error))
