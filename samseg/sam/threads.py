"""CPU threads that each run PyTorch on one thread.

Decoding is many small operations: two batches of prompts on two threads are done sooner than one
batch whose every operation is split in two.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Threads:
    """Maps a function over items on n threads; on the calling one when n is 1.

    Attributes:
        n: number of threads.
    """

    def __init__(self, n: int):
        """Threads start with the first work."""
        self.n = n
        self._pool = ThreadPoolExecutor(n, "samseg") if n > 1 else None

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Return the results in the order of the items; an exception of any passes on.

        PyTorch's own threads, which are a setting of the whole process, are off meanwhile.
        """
        if self._pool is None:
            return [work(item) for item in items]
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return list(self._pool.map(work, items))
        finally:
            torch.set_num_threads(before)
