"""Classes do not depend on the number of workers or on the order in which tasks end."""

import random
import time
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samseg.clustering import DBSCAN
from samseg.clustering.settings import ClusterSettings
from samseg.engine import Local
from samseg.engine.failure import Done, attempt_task
from samseg.engine.protocol import Attempt, Result, Slot, Task, Work
from samseg.stages import table_map
from samseg.stages.cluster import sampling
from samseg.stages.cluster.fitting import FitSpec, FitWork

SMALL = ClusterSettings(reference=40)
"""A sample of some of the masks, so that further levels are sampled, too."""


class Shuffled(Local):
    """Several workers, whose tasks end in a drawn order; every task is drawn early."""

    seed: int
    workers: int

    def map(self, build: Callable[[Slot], Work], tasks: Iterable, device, cpus=None) -> Iterator:
        drawn = random.Random(self.seed)
        works = [build(Slot("cpu", 1)) for _ in range(self.workers)]
        stream, open_tasks, ended = iter(tasks), [], False
        while not ended or open_tasks:
            while not ended and len(open_tasks) < 2 * self.workers:
                task = next(stream, StopIteration)
                ended = task is StopIteration
                if ended or task is None:
                    break
                open_tasks.append(task)
            if not open_tasks:
                if ended:
                    return
                task = next(stream, None)
                if task is None:
                    return
                open_tasks.append(task)
            task: Task = open_tasks.pop(drawn.randrange(len(open_tasks)))
            for message in attempt_task(drawn.choice(works), task, Attempt()):
                if isinstance(message, Done):
                    yield Result(task, message.value)


@pytest.fixture(scope="module")
def lakes(tmp_path_factory, known_lake):
    """A folder before its first fit, and what one process makes of it in two nights."""
    fresh = known_lake(str(tmp_path_factory.mktemp("fresh") / "lake"))
    for shard in "abcdef":
        fresh.add_shard(shard)
    done = fresh.copied_to(tmp_path_factory.mktemp("done") / "lake")
    nights(done, Local())
    return fresh, done.tree()


def nights(lake, engine) -> None:
    lake.night(SMALL, engine=engine)
    lake.add_shard("f0", kinds=(0, 1))
    lake.night(SMALL, engine=engine)
    lake.night(ClusterSettings(reference=50), engine=engine, refit=True)
    lake.night(ClusterSettings(fit=DBSCAN(eps=0.2, min_samples=4)), engine=engine)


@given(seed=st.integers(0, 2**32 - 1), workers=st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_any_order_of_tasks_gives_the_same_objects(lakes, tmp_path_factory, seed, workers):
    fresh, wanted = lakes
    lake = fresh.copied_to(tmp_path_factory.mktemp("copy") / "lake")
    nights(lake, Shuffled(seed=seed, workers=workers))
    assert lake.tree() == wanted


def test_the_sample_is_the_same_for_any_size_of_tasks(lake, monkeypatch):
    found = []
    for tasks in (1, 2, 1000):
        monkeypatch.setattr(table_map, "_TASKS", tasks)
        spec = sampling_of(lake)
        chosen = sampling.choose(spec, ["a", "b", "c"], 10, Local())
        found.append((chosen.total, chosen.shard.tolist(), chosen.row.tolist()))
    assert found[0] == found[1] == found[2]
    assert found[0][0] == 3 * 6 * 6 and len(found[0][1]) == 10


def sampling_of(lake):
    from samseg.stages.cluster.embeddings import open_embeddings

    return open_embeddings(lake, "sam", "recipe")


def test_a_fit_starts_again_in_another_worker(lake):
    """What a worker that died had fitted, another one fits again."""
    spec = FitSpec(sampling_of(lake), SMALL, None, "first")
    shards = sorted(lake.committed())
    samples = (sampling.choose(spec.embeddings, shards, 40, Local()),)
    first = FitWork(spec, Slot("cpu", 1, 1.0))
    found = value_of(first, samples)
    while callable(found):
        more = sampling.choose(spec.embeddings, shards, 40, Local(), found)
        samples = (*samples, more)
        found, again = value_of(first, samples), value_of(FitWork(spec, Slot("cpu", 1)), samples)
        assert type(found) is type(again)
    assert len(samples) > 1, "there was one level only"
    assert found.classes and [c.size for c in found.classes] == [c.size for c in again.classes]
    assert found.prototypes.vectors.tobytes() == again.prototypes.vectors.tobytes()


def value_of(work, samples):
    generator = work(Task("level", samples), Attempt())
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


def test_a_slow_call_sends_heartbeats(monkeypatch):
    monkeypatch.setattr(table_map, "_HEARTBEAT_S", 0.01)
    calls = table_map.alive("task", Slot("cpu", 1), lambda: time.sleep(0.1) or "done")
    beats = 0
    while True:
        try:
            next(calls)
            beats += 1
        except StopIteration as end:
            assert end.value == "done" and beats > 3
            return
