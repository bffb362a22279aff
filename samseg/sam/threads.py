"""A pool of CPU threads that each run PyTorch single-threaded.

Decoding consists of many small operations, so running two batches of prompts on two threads is
faster than splitting each operation of one batch across two threads.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Threads:
    """Maps a function over items on n threads; on the calling thread if n is 1.

    Attributes:
        n: number of threads.
    """

    def __init__(self, n: int):
        """Create a pool of n threads, which start on first use."""
        self.n = n
        self._pool = ThreadPoolExecutor(n, "samseg") if n > 1 else None

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Return the results in the order of the items; an exception in any is raised.

        Sets PyTorch's intra-op threads, a setting of the whole process, to 1 for the duration.
        """
        if self._pool is None:
            return [work(item) for item in items]
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return list(self._pool.map(work, items))
        finally:
            torch.set_num_threads(before)
