"""CPU seconds and peak memory of processes.

On Linux these cover the whole tree of processes below this one; on other systems CPU time covers
this process and its finished children, and memory this process only.
"""

import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from samseg.spec import Spec

_PROC = Path("/proc")
_PARENT, _USER, _SYSTEM, _STARTED, _RESIDENT = 1, 11, 12, 19, 21
"""Indices of fields of `/proc/PID/stat` after the process name; see proc(5)."""


class Peak(Spec):
    """Peak resident memory of one process.

    Attributes:
        loaded_bytes: peak until model and photo were loaded.
        peak_bytes: peak until the work was done.
    """

    loaded_bytes: int
    peak_bytes: int


def peak_of(prepare: "partial[Callable[[], object]]") -> Peak:
    """Measure a function call in a new process.

    Args:
        prepare: loads the inputs and returns the function to call; must be picklable.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measured, prepare).result()


def cpu_seconds() -> float:
    """Return the CPU seconds used so far by this process and its descendants."""
    if not _PROC.is_dir():
        return _seconds_of(os.times())
    ticks = sum(int(fields[_USER]) + int(fields[_SYSTEM]) for _, fields in _tree())
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_bytes() -> int:
    """Return the peak resident memory of this process.

    `ru_maxrss` is only a fallback: after fork and exec, Linux includes the parent's memory in it.
    """
    status = _PROC / "self" / "status"
    if status.exists():
        return _high_water(status)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def largest_peak_bytes() -> int:
    """Return the largest `peak_bytes` of the processes below this one; 0 if there are none."""
    peaks = [0]
    for pid, _ in _tree():
        try:
            if pid != os.getpid():
                peaks.append(_high_water(_PROC / str(pid) / "status"))
        except OSError:
            continue  # has ended
    return max(peaks)


def _measured(prepare: "partial[Callable[[], object]]") -> Peak:
    work = prepare()
    loaded = peak_bytes()
    work()
    return Peak(loaded_bytes=loaded, peak_bytes=peak_bytes())


def _seconds_of(times: os.times_result) -> float:
    return times.user + times.system + times.children_user + times.children_system


def _high_water(status: Path) -> int:
    """Read VmHWM; 0 for a process that is exiting, which has none."""
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the tree below this one.

    Attributes:
        key: its id and start, which no other process has.
        name: of its program.
        own: whether it is this process.
        cpu_s: CPU seconds so far.
        resident_bytes: resident memory now.
    """

    key: tuple[int, str]
    name: str
    own: bool
    cpu_s: float
    resident_bytes: int


def process_tree() -> Iterator[Process]:
    """Yield this process and its descendants; nothing on systems without `/proc`."""
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    for pid, fields in _tree() if _PROC.is_dir() else ():
        try:
            name = (_PROC / str(pid) / "comm").read_text().strip()
        except OSError:
            continue  # has ended
        cpu = (int(fields[_USER]) + int(fields[_SYSTEM])) / tick
        own, resident = pid == os.getpid(), int(fields[_RESIDENT]) * page
        yield Process((pid, fields[_STARTED]), name, own, cpu, resident)


def _tree() -> Iterator[tuple[int, list[str]]]:
    """Yield this process and its descendants, with the fields of `stat` after the name."""
    found: dict[int, list[str]] = {}
    for path in _PROC.glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # has ended
    for pid, fields in found.items():
        ancestor = pid
        while ancestor in found and ancestor != os.getpid():
            ancestor = int(found[ancestor][_PARENT])
        if ancestor == os.getpid():
            yield pid, fields
