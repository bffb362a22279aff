"""A model of a night: the scheduler's guarantees under thousands of interleavings."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from samseg.engine.failure import Failure
from samseg.engine.protocol import Task
from samseg.engine.scheduler import Scheduler
from samseg.errors import StorageError

IMAGES = 6


class Night:
    """Workers that hypothesis kills, and tasks with items that kill workers."""

    def __init__(self, n, workers, deadly, choose):
        self.drawn = 0
        self.s = Scheduler(self.draw(n), attempts=4, backoff_s=1.0, silence_s=50.0)
        self.deadly, self.choose = deadly, choose
        self.now, self.names = 0.0, iter(range(10**9))
        self.at = {}  # worker -> [task, attempt, next item], or None when idle
        self.results, self.suspects, self.errors = [], set(), Counter()
        for _ in range(workers):
            self.add_worker()

    def draw(self, n):
        for i in range(n):
            self.drawn += 1
            yield Task(f"task-{i}", i)

    def add_worker(self):
        worker = next(self.names)
        self.s.join(worker)
        self.at[worker] = None

    def end(self, worker, result):
        self.at[worker] = None
        if result:
            self.results.append(result)

    def replace(self, worker, result):
        self.end(worker, result)
        del self.at[worker]
        self.add_worker()

    def step(self):
        self.now += 0.25
        worker = self.choose(sorted(self.at))
        job = self.at[worker]
        if job is None:
            given = self.s.assign(worker, self.now)
            self.at[worker] = [*given, 0] if given else None
            hint = given and given[1].upcoming
            assert hint not in self.suspects, "already prefetched by a worker that died"
            return
        task, attempt, index = job
        event = self.choose(["progress"] * 12 + ["node left", "error"])
        if event == "node left":
            self.s.left(worker, self.now)
            self.replace(worker, None)
        elif event == "error" and self.errors[task.id] < 2:
            self.errors[task.id] += 1
            self.end(worker, self.s.failed(worker, Failure("flaky", kind=StorageError), self.now))
        elif index == IMAGES:
            labelled = IMAGES - len(attempt.skip)
            self.end(worker, self.s.succeeded(worker, labelled))
        else:
            self.s.heartbeat(worker, self.now, index)
            ahead = 0 if attempt.exact else 2  # prefetching may kill early
            reach = set(range(index, index + 1 + ahead)) - attempt.skip
            killers = reach & self.deadly.get(task.payload, frozenset())
            if killers and self.choose([True, False]):  # a defect: the worker survives
                self.end(worker, self.s.failed(worker, Failure("ValueError: odd"), self.now))
            elif killers:
                if attempt.upcoming:
                    self.suspects.add(attempt.upcoming)
                alone = self.choose([True, True, False])
                self.replace(worker, self.s.died(worker, "died", self.now, alone=alone))
            else:
                job[2] += 1

    def check(self):
        running = [job[0].id for job in self.at.values() if job]
        assert len(running) == len(set(running)), "one task, two workers"
        closed = [o.task.id for o in self.results]
        assert not set(running) & set(closed), "work on a task that has its result"
        ahead = self.drawn - len(closed)
        assert ahead <= 4 * len(self.at) + 2, "drawn too far ahead"
        for job in self.at.values():
            if job and job[1].upcoming:
                assert not job[1].exact, "an exact attempt prefetches nothing"


@settings(max_examples=1000, deadline=None)
@given(
    n=st.integers(0, 12),
    workers=st.integers(1, 4),
    deadly=st.dictionaries(
        st.integers(0, 11), st.frozensets(st.integers(0, IMAGES - 1), max_size=2), max_size=4
    ),
    random=st.randoms(use_true_random=False),
)
def test_every_night_ends_with_one_result_per_task(n, workers, deadly, random):
    night = Night(n, workers, deadly, random.choice)
    for _ in range(20_000):
        if night.s.finished:
            break
        night.step()
        night.check()
    assert night.s.finished, "the night does not end"
    ended = sorted(o.task.payload for o in night.results)
    assert ended == list(range(n)), "each task once"
    for result in night.results:
        killers = deadly.get(result.task.payload, frozenset())
        if result.value is not None:
            # exactly the deadly items are lost
            assert result.value == IMAGES - len(killers)
        else:
            assert killers and night.errors[result.task.id], "given up without cause"
