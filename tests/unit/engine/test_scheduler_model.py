"""A model of a night: the scheduler's promises under thousands of interleavings."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from samseg.engine.failure import Failure
from samseg.engine.protocol import Receipt
from samseg.engine.scheduler import Scheduler
from samseg.errors import StorageError
from samseg.types import Shard, Source

IMAGES = 6


class Night:
    """Workers that live and die as hypothesis says, over shards with deadly images."""

    def __init__(self, n, workers, deadly, choose):
        self.drawn = 0
        self.s = Scheduler(self.draw(n), attempts=4, backoff_s=1.0, silence_s=50.0)
        self.deadly, self.choose = deadly, choose
        self.now, self.names = 0.0, iter(range(10**9))
        self.at = {}  # worker -> [shard, attempt, next image], or None when idle
        self.outcomes, self.suspects, self.errors = [], set(), Counter()
        for _ in range(workers):
            self.hire()

    def draw(self, n):
        for i in range(n):
            self.drawn += 1
            yield Shard.of([Source(f"{i}", f"file:///{i}", "etag", 1)], IMAGES)

    def hire(self):
        worker = next(self.names)
        self.s.join(worker)
        self.at[worker] = None

    def end(self, worker, outcome):
        self.at[worker] = None
        if outcome:
            self.outcomes.append(outcome)

    def bereave(self, worker, outcome):
        self.end(worker, outcome)
        del self.at[worker]
        self.hire()

    def step(self):
        self.now += 0.25
        worker = self.choose(sorted(self.at))
        job = self.at[worker]
        if job is None:
            given = self.s.assign(worker, self.now)
            self.at[worker] = [*given, 0] if given else None
            hint = given and given[1].upcoming
            assert hint not in self.suspects, "read ahead once by a worker that died"
            return
        s, attempt, index = job
        fate = self.choose(["on"] * 12 + ["node left", "error"])
        if fate == "node left":
            self.s.left(worker, self.now)
            self.bereave(worker, None)
        elif fate == "error" and self.errors[s.id] < 2:
            self.errors[s.id] += 1
            self.end(worker, self.s.failed(worker, Failure("flaky", kind=StorageError), self.now))
        elif index == IMAGES:
            receipt = Receipt(s.id, {"ok": IMAGES - len(attempt.skip)}, 0)
            self.end(worker, self.s.succeeded(worker, receipt))
        else:
            self.s.heard(worker, self.now, index)
            ahead = 0 if attempt.exact else 2  # reading ahead may kill early
            reach = set(range(index, index + 1 + ahead)) - attempt.skip
            killers = reach & self.deadly.get(int(s.sources[0].key), frozenset())
            if killers and self.choose([True, False]):  # a defect: the worker lives on
                self.end(worker, self.s.failed(worker, Failure("ValueError: odd"), self.now))
            elif killers:
                if attempt.upcoming:
                    self.suspects.add(attempt.upcoming)
                self.bereave(worker, self.s.died(worker, "died", self.now))
            else:
                job[2] += 1

    def check(self):
        in_hand = [job[0].id for job in self.at.values() if job]
        assert len(in_hand) == len(set(in_hand)), "one shard, two workers"
        closed = [o.shard.id for o in self.outcomes]
        assert not set(in_hand) & set(closed), "work on a shard that has its outcome"
        ahead = self.drawn - len(closed)
        assert ahead <= 4 * len(self.at) + 2, "drawn too far ahead"
        for job in self.at.values():
            if job and job[1].upcoming:
                assert not job[1].exact, "an exact attempt reads nothing ahead"


@settings(max_examples=1000, deadline=None)
@given(
    n=st.integers(0, 12),
    workers=st.integers(1, 4),
    deadly=st.dictionaries(
        st.integers(0, 11), st.frozensets(st.integers(0, IMAGES - 1), max_size=2), max_size=4
    ),
    random=st.randoms(use_true_random=False),
)
def test_every_night_ends_with_one_outcome_per_shard(n, workers, deadly, random):
    night = Night(n, workers, deadly, random.choice)
    for _ in range(20_000):
        if night.s.finished:
            break
        night.step()
        night.check()
    assert night.s.finished, "the night does not end"
    ended = sorted(int(o.shard.sources[0].key) for o in night.outcomes)
    assert ended == list(range(n)), "each shard once"
    for outcome in night.outcomes:
        killers = deadly.get(int(outcome.shard.sources[0].key), frozenset())
        if outcome.receipt:
            # exactly the deadly images are lost, never an innocent one
            assert outcome.receipt.statuses["ok"] == IMAGES - len(killers)
        else:
            assert killers and night.errors[outcome.shard.id], "given up without cause"
