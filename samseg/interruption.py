"""SIGINT and SIGTERM, which end a run the same way: with a message, its record and an exit code."""

import signal
import threading
from typing import Any, NoReturn

from samseg.errors import SamsegError


class InterruptionError(SamsegError):
    """SIGINT ended a run."""

    exit_code = 130


class TerminationError(InterruptionError):
    """SIGTERM ended a run."""

    exit_code = 143


class Terminated(KeyboardInterrupt):
    """SIGTERM: what a scheduler or a shutdown sends."""


_received: list[int] = []


def install() -> None:
    """Make SIGTERM raise `Terminated` in the main thread, and remember SIGINT.

    A no-op in other threads.
    """
    _received.clear()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
        signal.signal(signal.SIGINT, _interrupt)


def check() -> None:
    """Raise the exception of a signal again, where it was lost.

    A library may catch and drop whatever is raised while it is imported or calls back.
    """
    if signal.SIGTERM in _received:
        raise Terminated
    if _received:
        raise KeyboardInterrupt


def interruption() -> InterruptionError:
    """Return the error that describes a KeyboardInterrupt: its message and exit code.

    Ray replaces an exception of a signal handler by a plain KeyboardInterrupt, so the signal is
    remembered.
    """
    if signal.SIGTERM in _received:
        return TerminationError("terminated; run the same command again to resume")
    return InterruptionError("interrupted; run the same command again to resume")


def _interrupt(signum: int, frame: Any) -> NoReturn:
    _received.append(signum)
    raise KeyboardInterrupt


def _terminate(signum: int, frame: Any) -> NoReturn:
    _received.append(signum)
    raise Terminated
