"""What processes have cost so far: CPU seconds and memory.

Linux tells it of whole trees of processes, other systems only of one that has ended or of this one.
"""

import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from samseg.spec import Spec

_PROC = Path("/proc")
_PARENT, _USER, _SYSTEM = 1, 11, 12
"""Fields of `/proc/PID/stat` behind the process's name; see proc(5)."""


class Peak(Spec):
    """Most memory that one process has had resident.

    Attributes:
        loaded_bytes: until model and photo were loaded.
        peak_bytes: until the work was done.
    """

    loaded_bytes: int
    peak_bytes: int


def peak_of(prepare: "partial[Callable[[], object]]") -> Peak:
    """Measure one piece of work in a fresh process.

    Args:
        prepare: loads what is needed and returns the work; must pickle.
    """
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(_watched, prepare).result()


def cpu_seconds() -> float:
    """Return the CPU seconds, so far, of this process and of all that live below it."""
    if not _PROC.is_dir():
        return _seconds_of(os.times())
    ticks = sum(int(fields[_USER]) + int(fields[_SYSTEM]) for _, fields in _tree())
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_bytes() -> int:
    """Return the most memory that this process has had resident.

    Not `ru_maxrss` where that can be helped: in a process made by fork and exec, Linux counts its
    parent's memory as well.
    """
    status = _PROC / "self" / "status"
    if status.exists():
        return _high_water(status)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def largest_peak_bytes() -> int:
    """Return the `peak_bytes` of the largest process below this one; 0 where none is known."""
    peaks = [0]
    for pid, _ in _tree():
        try:
            if pid != os.getpid():
                peaks.append(_high_water(_PROC / str(pid) / "status"))
        except OSError:
            continue  # ended meanwhile
    return max(peaks)


def _watched(prepare: "partial[Callable[[], object]]") -> Peak:
    work = prepare()
    loaded = peak_bytes()
    work()
    return Peak(loaded_bytes=loaded, peak_bytes=peak_bytes())


def _seconds_of(times: os.times_result) -> float:
    return times.user + times.system + times.children_user + times.children_system


def _high_water(status: Path) -> int:
    """Read VmHWM; a process that is just ending has none."""
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _tree() -> Iterator[tuple[int, list[str]]]:
    """Yield this process and all below it, with what their `stat` says behind the name."""
    found: dict[int, list[str]] = {}
    for path in _PROC.glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
    for pid, fields in found.items():
        above = pid
        while above in found and above != os.getpid():
            above = int(found[above][_PARENT])
        if above == os.getpid():
            yield pid, fields
