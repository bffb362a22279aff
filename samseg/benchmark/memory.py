"""Peak memory of one piece of work, in a process of its own."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from samseg.benchmark.processes import peak_bytes
from samseg.spec import Spec


class Peak(Spec):
    """Memory resident in a process.

    Attributes:
        loaded_bytes: at most, until model and photo were loaded.
        peak_bytes: at most, until the work was done.
    """

    loaded_bytes: int
    peak_bytes: int


def peak_of(prepare: "partial[Callable[[], object]]") -> Peak:
    """Measure in a fresh process.

    Args:
        prepare: loads what is needed and returns the work; must pickle.
    """
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(_watched, prepare).result()


def _watched(prepare: "partial[Callable[[], object]]") -> Peak:
    work = prepare()
    loaded = peak_bytes()
    work()
    return Peak(loaded_bytes=loaded, peak_bytes=peak_bytes())
