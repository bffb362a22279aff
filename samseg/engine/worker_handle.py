"""One actor as the driver sees it."""

from dataclasses import dataclass
from math import inf
from typing import Any


@dataclass(eq=False, slots=True)
class WorkerHandle:
    """One actor as the driver sees it.

    Attributes:
        actor: Ray's handle.
        started_at: when it was created.
        stream: generator of the call in progress, or None.
        node: id of its node, None until it is placed.
        ready: whether it accepts tasks.
        died_of: the reason, empty while it is alive.
        retired: whether it gets no more work, because its GPU is at fault.
        died_at: when that was.
        reap_at: when its death counts against its task.
    """

    actor: Any
    started_at: float
    stream: Any
    node: str | None = None
    ready: bool = False
    died_of: str = ""
    retired: bool = False
    died_at: float = inf
    reap_at: float = inf
