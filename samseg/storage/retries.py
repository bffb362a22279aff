"""Repeats requests to a store that fail for a reason that passes.

The clients' own retries are off: they neither cover an answer that breaks midway nor tell whether a
PUT was sent twice.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from samseg.storage import clients

T = TypeVar("T")


class Retries:
    """The retries of one store.

    A store that has failed all retries of one request is asked once per request until it answers
    again, so an outage costs its callers the waiting time only once.
    """

    def __init__(self, remote: bool):
        """Start with a store that is believed to answer.

        Args:
            remote: False for a local folder, whose errors do not pass.
        """
        self._remote = remote
        self._down = False

    def call(self, request: Callable[[], T]) -> T:
        """Return the result of `request`, which may be called several times.

        Raises:
            Exception: of the last call.
        """
        started = time.monotonic()
        for delay in (*clients.DELAYS_S, None):
            try:
                result = request()
            except clients.transport_errors() as e:
                down = self._remote and clients.is_transient(e)
                late = time.monotonic() - started >= clients.RETRY_FOR_S
                if not down or self._down or late or delay is None:
                    self._down = down
                    raise
                time.sleep(delay * random.uniform(0.5, 1.5))
            else:
                self._down = False
                return result
        raise AssertionError("the last delay is None")
