"""A pool of real actors on a real Ray, and everything that can happen to a worker."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter

import pytest

from samseg.engine import RayPool
from samseg.errors import DeviceError, WorkersError
from samseg.seam import Beat, Outcome, Receipt
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


def python(code, **more):
    """Run a driver of its own; returns its output and errors."""
    told = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_DEDUP_LOGS_SKIP_REGEX")
    env = {k: v for k, v in os.environ.items() if k not in told} | more
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env=env,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout, ran.stderr


def test_a_ray_of_its_own_is_silent_and_leaves_nothing(tmp_path):
    code = """
        import os
        from samseg.engine import RayPool
        from samseg.seam import Beat, Outcome, Receipt
        from samseg.types import Shard, Source

        def build(slot):
            def work(shard, attempt):
                yield Beat(shard.id, 0, 0)
                if shard.sources[0].key == "1" and not attempt.skip:
                    os._exit(1)
                yield Receipt(shard.id, {}, 0)
            return work

        shards = [Shard.of([Source(str(i), "u", "e", 1)], 1) for i in range(3)]
        events = RayPool(workers=1, cpus_per_worker=1).map(build, shards, "cpu")
        print(sum(isinstance(e, Outcome) for e in events))
        import ray
        print(ray.is_initialized())
    """
    assert python(code, HOME=str(tmp_path)) == ("3\nFalse\n", "")
    assert list(tmp_path.iterdir()) == [], "no token in the home directory"


def test_an_address_where_nothing_listens():
    code = """
        from samseg.engine import RayPool
        from samseg.errors import WorkersError
        from samseg.types import Shard
        for address in ("127.0.0.1:1", "ray://127.0.0.1:10001", "nonsense"):
            try:
                list(RayPool(address=address).map(print, [Shard.of([], 0)], "cpu"))
            except WorkersError as e:
                print(e)
    """
    lines = python(code)[0].splitlines()
    assert [line.startswith("no Ray at ") for line in lines] == [True] * 3
    assert "refused" in lines[0] and "ray job submit" in lines[1]


@pytest.mark.slow
def test_a_node_that_leaves_costs_its_shards_nothing(tmp_path):
    code = """
        import time
        import ray
        from ray.cluster_utils import Cluster
        from samseg.engine import RayPool
        from samseg.seam import Beat, Outcome, Receipt
        from samseg.types import Shard, Source

        def build(slot):
            import ray
            node = ray.get_runtime_context().get_node_id()
            def work(shard, attempt):
                for index in range(10):
                    yield Beat(shard.id, index, 0)
                    time.sleep(0.2)
                yield Receipt(shard.id, {f"{attempt.number} {attempt.exact} {node}": 1}, 0)
            return work

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        doomed = cluster.add_node(num_cpus=2)
        cluster.add_node(num_cpus=1)
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        shards = [Shard.of([Source(str(i), "u", "e", 1)], 10) for i in range(8)]
        outcomes, running = [], set()
        for event in RayPool(workers="auto", cpus_per_worker=1).map(build, shards, "cpu"):
            if isinstance(event, Outcome):
                outcomes.append(event)
            elif doomed:
                running.add(event.shard_id)
                if len(running) == 3:
                    cluster.remove_node(doomed, allow_graceful=False)
                    doomed = None
        assert sorted(o.shard.id for o in outcomes) == sorted(s.id for s in shards)
        assert not any(o.failures for o in outcomes), outcomes
        assert {key[:7] for o in outcomes for key in o.receipt.statuses} == {"1 False"}
        print("calm", doomed)
        ray.shutdown()
        cluster.shutdown()
    """
    out, _ = python(code, HOME=str(tmp_path), RAY_DEDUP_LOGS_SKIP_REGEX=".")
    assert out.splitlines()[-1] == "calm None"
