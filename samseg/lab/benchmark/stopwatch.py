"""Where the time of one call goes: seconds by stage, of functions that call one another."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

import torch

Site = tuple[Any, str, str]
"""An object or module, the name of a function in it, and the stage that the function belongs to."""


class Stopwatch:
    """Seconds by stage; what a timed function spends in another timed one is the other's.

    On a GPU it waits for the device whenever a timed function begins or ends, so stages add up to
    a little more than the call takes without it.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def watching(self, sites: list[Site]) -> Iterator[None]:
        """Time functions meanwhile, wherever they are called by these names."""
        with ExitStack() as stack:
            for owner, name, stage in sites:
                timed = self._timed(getattr(owner, name), stage)
                stack.enter_context(patch.object(owner, name, timed))
            yield

    def _timed(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._turn()
            self._open.append(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self._turn()
                self._open.pop()

        return timed

    def _turn(self) -> None:
        """Give the time since the last turn to the stage that is open."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now
