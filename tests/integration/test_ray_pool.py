"""A pool of real actors on a real Ray, and everything that can happen to a worker."""

import os
import signal
import sys
import time
from collections import Counter

import pytest

from samseg.engine import RayPool
from samseg.engine.protocol import Beat, Outcome, Receipt
from samseg.errors import DeviceError, WorkersError
from samseg.types import Shard, Source

IMAGES = 8
BAD_IMAGE = 5


@pytest.fixture(autouse=True)
def ray(ray_cluster):
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return ray


def pool(**changed):
    quick = {"workers": 2, "cpus_per_worker": 1, "backoff_s": 0.01}
    return RayPool(**(quick | changed))


def shard(i):
    return Shard.of([Source(f"{i}", f"file:///{i}", "etag", 1)], IMAGES)


def build_with(hurts=(), nap_s=0.0):
    """Return a build whose work does `hurts[i](attempt)` at one image of shard i."""

    def build(slot):
        def work(shard, attempt):
            i = int(shard.sources[0].key)
            for index in range(IMAGES):
                yield Beat(shard.id, index, 0)
                time.sleep(nap_s)
                if i < len(hurts) and index == BAD_IMAGE and index not in attempt.skip:
                    hurts[i](attempt)
            skipped = len(attempt.skip)
            yield Receipt(shard.id, {"ok": IMAGES - skipped, "crashed": skipped}, os.getpid())

        return work

    return build


def run(events, n):
    outcomes = [e for e in events if isinstance(e, Outcome)]
    counts = Counter(int(o.shard.sources[0].key) for o in outcomes)
    assert counts == dict.fromkeys(range(n), 1)
    return {int(o.shard.sources[0].key): o for o in outcomes}


def leave(attempt):
    os._exit(1)


def segfault(attempt):
    os.kill(os.getpid(), signal.SIGSEGV)


def sys_exit(attempt):
    sys.exit(7)


def killed_from_outside(attempt):
    os.kill(os.getpid(), signal.SIGKILL)


def hang(attempt):
    time.sleep(1000)


def die_once(attempt):
    if attempt.number == 1:
        os._exit(1)


def test_an_image_that_takes_its_worker_along_is_skipped():
    hurts = (leave, segfault, sys_exit, killed_from_outside, hang, die_once)
    n = len(hurts) + 4
    events = pool(workers=4, silence_s=3.0).map(build_with(hurts), map(shard, range(n)), "cpu")
    found = run(events, n)
    for i, outcome in found.items():
        deadly = i < len(hurts) - 1
        statuses = {"ok": IMAGES - deadly, "crashed": int(deadly)}
        assert outcome.receipt and dict(outcome.receipt.statuses) == statuses, i
        deaths = 3 if deadly else int(i == hurts.index(die_once))
        assert len(outcome.failures) == deaths
        assert all(line.endswith(f"at image {BAD_IMAGE}") for line in outcome.failures[1:])


def test_killed_workers_are_replaced_and_nothing_is_lost_or_doubled():
    events = pool().map(build_with(nap_s=0.02), map(shard, range(12)), "cpu")
    outcomes, victims = [], set()
    for event in events:
        if isinstance(event, Outcome):
            outcomes.append(event)
            pid = event.receipt.masks
            if len(victims) < 3 and pid not in victims:
                victims.add(pid)
                os.kill(pid, signal.SIGKILL)
    assert all(o.receipt for o in run(outcomes, 12).values())
    assert len(victims) == 3


def test_each_worker_has_a_gpu_of_its_own():
    def build(slot):
        def work(shard, attempt):
            yield Beat(shard.id, 0, 0)
            time.sleep(0.1)
            place = f"{os.environ['CUDA_VISIBLE_DEVICES']} {os.getpid()}"
            yield Receipt(shard.id, {slot.device: 1, place: 1}, 0)

        return work

    events = pool(workers="auto").map(build, map(shard, range(8)), "auto")
    found = run(events, 8)
    places = {tuple(p.split()) for o in found.values() for p in o.receipt.statuses if " " in p}
    assert all("cuda" in o.receipt.statuses for o in found.values())
    assert sorted(gpu for gpu, _ in places) == ["0", "1"], "two workers, never on one GPU"


def test_a_worker_that_sees_another_gpu_than_its_own_is_refused(monkeypatch, ray):
    import samseg.engine.pool as driver

    class Misled(driver.Worker):
        def start(self, build, slot):
            os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"
            yield from super().start(build, slot)

    monkeypatch.setattr(driver, "Worker", Misled)
    with pytest.raises(DeviceError, match="CUDA_VISIBLE_DEVICES is '0,1'"):
        list(pool().map(build_with(), [shard(0)], "cuda"))


def test_no_share_that_fits_ends_in_waiting_or_a_word():
    with pytest.raises(WorkersError, match="no node has the 64 CPUs"):
        list(pool(workers="auto", cpus_per_worker=64).map(build_with(), [shard(0)], "cpu"))


def test_a_build_that_kills_its_worker_ends_the_night():
    def build(slot):
        os._exit(1)

    with pytest.raises(WorkersError, match=r"failed to start 2 times in a row.*worker died"):
        list(pool(start_failures=2).map(build, [shard(0)], "cpu"))


def test_a_build_that_hangs_ends_the_night():
    def build(slot):
        time.sleep(1000)

    with pytest.raises(WorkersError, match="silent for 1 s"):
        list(pool(start_failures=1, silence_s=1.0).map(build, [shard(0)], "cpu"))


def test_no_more_workers_than_shards(ray):
    events = pool(workers=4).map(build_with(nap_s=0.05), [shard(0)], "cpu")
    assert isinstance(next(events), Beat)
    assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"] - 1
    assert run(events, 1)[0].receipt


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("end", ["close", "raise"])
def test_workers_end_with_the_map(end):
    events = pool().map(build_with(nap_s=0.01), map(shard, range(1000)), "cpu")
    pids = set()
    if end == "close":
        while len(pids) < 2:
            event = next(events)
            if isinstance(event, Outcome):
                pids.add(event.receipt.masks)
        events.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            while True:
                event = next(events)
                if isinstance(event, Outcome):
                    pids.add(event.receipt.masks)
                if len(pids) == 2:
                    events.throw(KeyboardInterrupt)
    until = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, pids))
