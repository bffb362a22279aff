"""Exclusive time per stage of functions that call each other."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

import torch

Site = tuple[Any, str, str]
"""An object or module, the name of a function in it, and the function's stage."""


class Stopwatch:
    """Seconds by stage, exclusive: nested timed calls count towards their own stage only.

    With a GPU, it synchronises at the start and end of every timed function, so the sum of the
    stages is slightly more than the time of the call without it.
    """

    def __init__(self) -> None:
        """Start with no stages."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def watching(self, sites: list[Site]) -> Iterator[None]:
        """Time these functions in this context, wherever they are called by these names."""
        with ExitStack() as stack:
            for owner, name, stage in sites:
                timed = self._timed(getattr(owner, name), stage)
                stack.enter_context(patch.object(owner, name, timed))
            yield

    def _timed(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._switch()
            self._open.append(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self._switch()
                self._open.pop()

        return timed

    def _switch(self) -> None:
        """Add the time since the last switch to the innermost open stage."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now
