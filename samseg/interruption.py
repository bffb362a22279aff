"""SIGINT and SIGTERM, which end a run the same way: with a message, its record and an exit code."""

import signal
import threading
from typing import Any, NoReturn

from samseg.errors import SamsegError


class InterruptionError(SamsegError):
    """A run was stopped by a signal."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: what a scheduler or a shutdown sends."""


_received: list[int] = []


def install() -> None:
    """Make SIGTERM raise `Terminated` in the main thread; a no-op elsewhere."""
    _received.clear()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)


def interruption() -> InterruptionError:
    """Return what to say of a KeyboardInterrupt, with its exit code: 130, or 143 for SIGTERM.

    Ray replaces an exception of a signal handler by a plain KeyboardInterrupt, so the signal is
    remembered.
    """
    word, code = ("terminated", 143) if _received else ("interrupted", 130)
    error = InterruptionError(f"{word}; run the same command again to resume")
    error.exit_code = code  # type: ignore[misc]
    return error


def _terminate(signum: int, frame: Any) -> NoReturn:
    _received.append(signum)
    raise Terminated
