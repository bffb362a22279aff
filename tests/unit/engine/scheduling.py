"""Tasks and workers for tests of the scheduler."""

from samseg.engine.protocol import Task
from samseg.engine.scheduler import Scheduler

IMAGES = 6


def task(i):
    return Task(f"task-{i}", i)


def value_of(attempt):
    return {"ok": IMAGES - len(attempt.skip)}


class Drawn:
    """Tasks, and how many of them were drawn."""

    def __init__(self, n):
        self.n, self.drawn = n, 0

    def __iter__(self):
        for i in range(self.n):
            self.drawn += 1
            yield task(i)


def scheduler(n, workers="", **changed):
    made = Scheduler(Drawn(n), **({"attempts": 3, "backoff_s": 8.0, "silence_s": 100.0} | changed))
    for worker in workers:
        made.join(worker)
    return made


def die(s, worker, index):
    """Kill a worker at an image, and replace it."""
    if index is not None:
        s.heartbeat(worker, 0.0, index)
    result = s.died(worker, "died", 0.0)
    s.join(worker)
    return result
