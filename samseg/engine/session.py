"""What the maps of one driver share: the connection to Ray, and idle workers of tables."""

from contextlib import ExitStack
from typing import Any

from samseg.engine.shares import Share


class Session:
    """What a map leaves to the maps after it, until the session ends.

    Starting a worker takes longer than most maps over tables, so that their workers are kept; a map
    of workers that hold models needs the room, and stops them.

    Attributes:
        stack: what ends with the session, the connection to Ray first of all.
    """

    def __init__(self) -> None:
        self.stack = ExitStack()
        self._idle: list[tuple[Share, Any]] = []

    def keep(self, share: Share, actor: Any) -> None:
        """Keep an idle worker of a map over tables, which holds `share`.

        One that reserves no CPU may hold much memory, as a fit does, and is stopped.
        """
        if share.cpus:
            self._idle.append((share, actor))
        else:
            _kill(actor)

    def take(self, share: Share) -> Any | None:
        """Return the actor of a worker that holds such a share, which is no longer kept."""
        for i, (held, actor) in enumerate(self._idle):
            if (held.device, held.cpus) == (share.device, share.cpus):
                del self._idle[i]
                return actor
        return None

    def stop_workers(self) -> None:
        """Stop the workers that are kept."""
        while self._idle:
            _kill(self._idle.pop()[1])

    def close(self) -> None:
        """End the session."""
        self.stop_workers()
        self.stack.close()


def _kill(actor: Any) -> None:
    import ray  # this module is part of settings, which are loaded without Ray

    ray.kill(actor)
