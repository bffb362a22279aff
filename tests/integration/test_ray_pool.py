"""A pool of real actors on a real Ray, and everything that can happen to a worker."""

import os
import signal
import sys
import time
from collections import Counter
from contextlib import suppress

import psutil
import pytest

from samseg.engine import RayPool
from samseg.engine.protocol import Heartbeat, Result, Task
from samseg.errors import DeviceError, WorkersError

pytestmark = pytest.mark.ray

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


def task(i):
    return Task(f"task-{i}", i)


def build_with(hurts=(), nap_s=0.0):
    """Return a build whose work does `hurts[i](attempt)` at one item of task i."""

    def build(slot):
        def work(task, attempt):
            i = task.payload
            for index in sorted(range(IMAGES), key=lambda i: (i in attempt.last, i)):
                yield Heartbeat(task.id, index, {"pid": os.getpid()})
                time.sleep(nap_s)
                if i < len(hurts) and index == BAD_IMAGE and index not in attempt.skip:
                    hurts[i](attempt)
            skipped = len(attempt.skip)
            return {"ok": IMAGES - skipped, "crashed": skipped, "pid": os.getpid()}

        return work

    return build


def run(events, n):
    results = [e for e in events if isinstance(e, Result)]
    assert Counter(r.task.payload for r in results) == dict.fromkeys(range(n), 1)
    return {r.task.payload: r for r in results}


def segfault(attempt):
    os.kill(os.getpid(), signal.SIGSEGV)


def sys_exit(attempt):
    sys.exit(7)


def hang(attempt):
    time.sleep(1000)


def die_once(attempt):
    if not attempt.exact:
        os._exit(1)


def test_an_image_that_takes_its_worker_along_is_skipped():
    hurts = (segfault, sys_exit, hang, die_once)  # exits and signals: `tests/chaos`
    n = len(hurts) + 4
    events = pool(workers=4, silence_s=3.0).map(build_with(hurts), map(task, range(n)), "cpu")
    found = run(events, n)
    for i, result in found.items():
        deadly = i < len(hurts) - 1
        assert result.value and result.value["ok"] == IMAGES - deadly, i
        assert result.value["crashed"] == deadly, i
        once = int(i == hurts.index(die_once))
        least, most = (4, 4 + 5) if deadly else (once, once)  # more if several die at a time
        assert least <= len(result.failures) <= most
        assert all(line.endswith(f"at item {BAD_IMAGE}") for line in result.failures[1:])


def test_killed_workers_are_replaced_and_nothing_is_lost_or_doubled():
    events = pool().map(build_with(nap_s=0.02), map(task, range(12)), "cpu")
    results, victims = [], set()
    for event in events:
        if isinstance(event, Result):
            results.append(event)
            pid = event.value["pid"]
            if len(victims) < 3 and pid not in victims:
                victims.add(pid)
                os.kill(pid, signal.SIGKILL)
    assert all(r.value for r in run(results, 12).values())
    assert len(victims) == 3


def test_each_worker_has_a_gpu_of_its_own(tmp_path):
    def build(slot):
        def work(task, attempt):
            gpu = os.environ["CUDA_VISIBLE_DEVICES"]
            (tmp_path / f"gpu-{gpu}").touch()
            for i in range(600):  # the other worker may start late, and all tasks be done by then
                yield Heartbeat(task.id, i)
                if len(list(tmp_path.iterdir())) > 1:
                    break
                time.sleep(0.1)
            return {slot.device, f"{gpu} {os.getpid()}"}

        return work

    events = pool(workers="auto").map(build, map(task, range(8)), "auto")
    found = run(events, 8)
    places = {tuple(p.split()) for r in found.values() for p in r.value if " " in p}
    assert all("cuda" in r.value for r in found.values())
    assert sorted(gpu for gpu, _ in places) == ["0", "1"], "two workers, never on one GPU"


def test_a_gpu_at_fault_costs_no_image_and_gets_no_more_work(caplog, tmp_path):
    def build(slot):
        def work(task, attempt):
            yield Heartbeat(task.id, 0)
            if os.environ["CUDA_VISIBLE_DEVICES"] == "1":
                time.sleep(0.6)
                (tmp_path / f"fault of {task.id}").touch()
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            for i in range(1200):  # the other worker may start late, and all tasks be done by then
                yield Heartbeat(task.id, i)
                if len(list(tmp_path.iterdir())) > 1:
                    break
                time.sleep(0.05)
            time.sleep(0.6)
            return {"ok": 1 - len(attempt.skip)}

        return work

    found = run(pool(workers=2).map(build, map(task, range(16)), "cuda"), 16)
    assert all(r.value == {"ok": 1} for r in found.values())
    # it takes other tasks until the first two have succeeded elsewhere
    assert 2 <= sum(len(r.failures) for r in found.values()) <= 4
    assert "gets no more work; the last error: RuntimeError: CUDA error" in caplog.text


def test_ten_kills_from_outside_cost_nothing():
    events = pool().map(build_with(nap_s=0.05), map(task, range(10)), "cpu")
    pids, results, kills, last = {}, [], 0, time.monotonic()
    for event in events:
        if isinstance(event, Result):
            results.append(event)
        elif isinstance(event, Heartbeat):
            pids[event.counts["pid"]] = event
            if kills < 10 and time.monotonic() - last > 0.2:
                kills, last = kills + 1, time.monotonic()
                with suppress(ProcessLookupError):
                    os.kill(event.counts["pid"], signal.SIGKILL)
    assert kills == 10
    assert all(r.value["ok"] == IMAGES for r in run(results, 10).values())


def test_a_worker_that_sees_another_gpu_than_its_own_is_refused(monkeypatch, ray):
    import samseg.engine.pool as driver

    class Misled(driver.Worker):
        def start(self, build, slot):
            os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"
            yield from super().start(build, slot)

    monkeypatch.setattr(driver, "Worker", Misled)
    with pytest.raises(DeviceError, match="CUDA_VISIBLE_DEVICES is '0,1'"):
        list(pool().map(build_with(), [task(0)], "cuda"))


def test_a_worker_that_no_node_holds_ends_the_night_after_a_while():
    large = pool(workers="auto", cpus_per_worker=64, first_worker_s=1.5)
    with pytest.raises(WorkersError, match=r"within 1.5 s.*asked for 1 x {CPU: 64}; .* 1 nodes"):
        list(large.map(build_with(), [task(0)], "cpu"))


def test_a_build_that_kills_its_worker_ends_the_night():
    def build(slot):
        os._exit(1)

    with pytest.raises(WorkersError, match=r"failed to start 2 times in a row.*worker died"):
        list(pool(start_failures=2).map(build, [task(0)], "cpu"))


def test_a_build_that_hangs_ends_the_night():
    def build(slot):
        time.sleep(1000)

    with pytest.raises(WorkersError, match="silent for 1 s"):
        list(pool(start_failures=1, silence_s=1.0).map(build, [task(0)], "cpu"))


def test_no_more_workers_than_tasks(ray):
    events = pool(workers=4).map(build_with(nap_s=0.05), [task(0)], "cpu")
    assert any(isinstance(event, Heartbeat) for event in events)  # takes the first one
    assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"] - 1
    assert run(events, 1)[0].value


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("end", ["close", "raise"])
def test_workers_end_with_the_map(end):
    events = pool().map(build_with(nap_s=0.01), map(task, range(1000)), "cpu")
    pids = set()
    if end == "close":
        while len(pids) < 2:
            event = next(events)
            if isinstance(event, Result):
                pids.add(event.value["pid"])
        events.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            while True:
                event = next(events)
                if isinstance(event, Result):
                    pids.add(event.value["pid"])
                if len(pids) == 2:
                    events.throw(KeyboardInterrupt)
    until = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, pids))


def nothing(slot):
    """Build work that returns at once."""

    def work(task, attempt):
        yield Heartbeat(task.id, 0)
        return task.payload

    return work


def test_a_map_that_waits_leaves_all_cpus_to_others(ray):
    """Else the fit, which waits while workers sample, would hold the only CPU of a cluster."""
    engine = RayPool()
    waiting = engine.map(nothing, iter([Task("first", 1), None, Task("second", 2)]), "cpu", cpus=0)
    first = next(e for e in waiting if isinstance(e, Result))
    assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"]
    waiting.close()
    assert first.value == 1


def pids_of_a_map(cpus):
    def build(slot):
        def work(task, attempt):
            yield Heartbeat(task.id, 0)
            time.sleep(0.3)
            return os.getpid()

        return work

    found = run(pool().map(build, map(task, range(6)), "cpu", cpus=cpus), 6)
    return {r.value for r in found.values()}


def test_maps_over_tables_keep_their_workers_until_the_session_ends():
    with pool().session():
        first = pids_of_a_map(1)
        assert first <= pids_of_a_map(1), "and another one, if it came too late before"
        os.kill(min(first), signal.SIGKILL)  # while idle
        then = pids_of_a_map(1)
        assert max(first) in then and min(first) not in then
        assert not pids_of_a_map(None) & then, "workers that hold models start anew"
        assert not pids_of_a_map(1) & then, "and have the room of those before"
    ended(then)
    assert not pids_of_a_map(1) & pids_of_a_map(1)


def ended(pids):
    until = time.monotonic() + 30
    while any(map(psutil.pid_exists, pids)):
        assert time.monotonic() < until
        time.sleep(0.1)
