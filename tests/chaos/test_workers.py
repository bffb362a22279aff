"""Workers, nodes and drivers that are killed, on a Ray head of their own."""

import random
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from samseg.config import parse
from samseg.demo.lake import write_demo_lake
from samseg.output import Output
from samseg.stages.status import status_of
from tests.chaos.conftest import ROUNDS, tree_of, written
from tests.chaos.night import run, started
from tests.chaos.rows import rows_of
from tests.ray_head import RAY, kill_hard, ray_head, ray_node

pytestmark = [pytest.mark.ray, pytest.mark.slow]

LIMIT_S = 450
KILLS = 6
WORKING = "ray::Worker.run"
"""How Ray names the process of an actor that runs a task, or has run one."""

CPUS = 3
NAP_S = 0.1


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    with ray_head(tmp_path_factory.mktemp("head"), CPUS) as head:
        yield head


class Drivers:
    """Nights of one output folder, each a process of its own."""

    def __init__(self, folder, head, tree, stub):
        self._env, self._stub = head.env | {"RAY_ADDRESS": head.address}, stub
        self.config = written(folder / "night.yaml", tree)
        self.output = Output(tree["output"])
        self.running = []

    def start(self):
        self.running.append(started(self.config, self._env, self._stub))
        return self.running[-1]

    def log(self):
        return self.config.with_suffix(".log").read_text()[-3000:]

    def failures(self):
        rows = rows_of(self.output, "images")
        return "".join(f"{row['key']}: {row['error']}\n" for row in rows if row["error"])

    def end(self, code=0):
        """Wait for all drivers and check that they end with this exit code."""
        ends = [driver.wait(LIMIT_S) for driver in self.running]
        assert ends == [code] * len(ends), self.log() + self.failures()
        self.running.clear()

    def until(self, done):
        """Wait until `done` returns something, and return it."""
        until = time.monotonic() + LIMIT_S
        while not (found := done()):
            assert time.monotonic() < until, self.log()
            assert any(d.poll() is None for d in self.running), self.log()
            time.sleep(0.1)
        return found

    def until_committed(self, shards):
        """Wait until at least this many shards are committed."""
        self.until(lambda: len(self.output.committed()) >= shards)

    def until_working(self, head):
        """Wait until there are workers that have started, and return their processes."""
        return self.until(lambda: workers(head, WORKING))


def ray_engine(**more):
    return {"kind": "ray", "workers": 2, "cpus_per_worker": 1, "backoff_s": 0.1} | more


@pytest.fixture
def drivers(head, lake, tmp_path):
    """Return what prepares nights over the lake; those still running at the end are killed."""
    made = []

    def prepare(stub=None, **more):
        tree = tree_of(tmp_path / "output", lake, **({"engine": ray_engine()} | more))
        made.append(Drivers(tmp_path, head, tree, {"nap_s": NAP_S} | (stub or {})))
        return made[-1]

    yield prepare
    for one in made:
        for driver in one.running:
            driver.kill()
            driver.wait(30)


def workers(head, title="ray::Worker"):
    """Return the processes of the actors of all drivers, by the title that Ray gives them."""
    found = []
    for process in psutil.Process(head.pid).children(recursive=True):
        with suppress(psutil.Error):
            if " ".join(process.cmdline()).startswith(title):
                found.append(process)
    return found


def test_workers_killed_at_random(head, drivers, lake, calm, verdict, seed):
    g, reader = random.Random(seed), tree_of("", lake)["reader"] | {"images_per_shard": 4}
    night = drivers(reader=reader)
    night.start()
    for kill in range(KILLS):
        night.until_committed(kill // 2)
        time.sleep(g.uniform(0, 0.5))
        g.choice(night.until_working(head)).kill()
    night.end()
    verdict(f"{KILLS} workers killed at random", calm, night.output)


@pytest.mark.parametrize("drained", [False] if ROUNDS == 1 else [False, True])
def test_a_node_removed_hard(head, drivers, calm, verdict, tmp_path, drained):
    night = drivers(engine=ray_engine(workers=CPUS + 1))
    with ray_node(head, tmp_path, cpus=1) as node:
        night.start()
        night.until_committed(3)
        if drained:
            drain(head)
        kill_hard(node)
        night.end()
    verdict(f"a node {'preempted' if drained else 'removed hard'}", calm, night.output)


def drain(head):
    """Tell Ray that the node of one CPU will be preempted."""
    node = (
        "import ray; ray.init(log_to_driver=False); "
        "print([n['NodeID'] for n in ray.nodes() if n['Alive'] and n['Resources']['CPU'] == 1][0])"
    )
    env = head.env | {"RAY_ADDRESS": head.address}
    found = subprocess.run(
        [sys.executable, "-c", node], env=env, stdout=subprocess.PIPE, check=True
    )
    told = [RAY, "drain-node", "--address", head.address, "--reason-message", "spot"]
    told += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--deadline-remaining-seconds", "3"]
    subprocess.run([*told, "--node-id", found.stdout.decode().split()[-1]], env=env, check=True)
    time.sleep(2)


def test_images_that_take_their_workers_along(drivers, lake, calm, verdict):
    reader = {"kind": "folder", "uri": str(lake), "images_per_shard": 4}
    night = drivers(engine=ray_engine(silence_s=10), reader=reader)
    night.start()
    night.end(code=1)
    poison = {path.name for path in lake.glob("poison-*")}
    failed = {r["key"]: r["status"] for r in rows_of(night.output, "images") if r["error"]}
    assert failed == dict.fromkeys(poison, "crashed")
    verdict("images that segfault, exit, raise, hang", calm, night.output, apart=poison)


def test_a_driver_killed_at_three_points(head, drivers, calm, verdict, seed):
    night, planned = drivers(), len(list(calm.planned()))
    for done in (0, 1, planned // 2):
        driver = night.start()
        night.until_committed(done)
        if not done:
            time.sleep(random.Random(seed).uniform(1, 6))
        driver.kill()
        driver.wait()
        night.running.clear()
        assert not psutil.wait_procs(workers(head), timeout=60)[1], "workers end with the driver"
    assert planned // 2 <= len(night.output.committed()) < planned
    night.start()
    night.end()
    verdict("the driver killed three times", calm, night.output)


@pytest.mark.parametrize("n", [3] if ROUNDS == 1 else [2, 3])
def test_drivers_at_once(drivers, calm, verdict, n):
    night = drivers(engine=ray_engine(workers=1))
    for _ in range(n):
        night.start()
    ends = {driver.wait(LIMIT_S) for driver in night.running}
    night.running.clear()
    assert 0 in ends and ends <= {0, 3}, night.log()
    if 3 in ends:  # of those that fit classes at one moment, one commits
        assert "CodebookError" in night.log()
    night.start()
    night.end()
    verdict(f"{n} drivers at once", calm, night.output)


def test_a_driver_and_a_worker_killed_under_the_real_model(head, tmp_path, verdict):
    write_demo_lake(tmp_path / "lake", photos=False, scenes=4)
    reader = {"kind": "folder", "uri": str(tmp_path / "lake"), "images_per_shard": 1}
    sparse = {"masks": {"points_per_side": 4}, "reader": reader}
    tree = tree_of(tmp_path / "calm", tmp_path / "lake", **sparse)
    assert run(parse(tree | {"engine": {"kind": "local", "threads": 1}}), stub=None) == 0
    tree = tree_of(tmp_path / "killed", tmp_path / "lake", engine=ray_engine(workers=1), **sparse)
    night = Drivers(tmp_path, head, tree, None)
    driver = night.start()
    night.until_committed(1)
    driver.kill()
    driver.wait()
    night.running.clear()
    assert not psutil.wait_procs(workers(head), timeout=60)[1]
    night.start()
    night.until_committed(2)
    night.until_working(head)[0].kill()
    night.end()
    assert status_of(night.output).complete
    verdict("real model, driver and worker killed", Output(str(tmp_path / "calm")), night.output)


def on_gpus(n):
    return {"engine": ray_engine(workers=n), "model": {"checkpoint": "tiny", "device": "cuda"}}


@pytest.fixture(scope="module")
def gpu_node(head, tmp_path_factory):
    with ray_node(head, tmp_path_factory.mktemp("gpus"), cpus=3, gpus=3):
        yield


def test_a_faulty_and_a_broken_gpu_of_three(gpu_node, drivers, calm, verdict):
    night = drivers({"faulty_gpu": "0", "broken_gpus": ["1"]}, **on_gpus(3))
    night.start()
    night.end()
    verdict("a faulty and a broken GPU of three", calm, night.output)


def test_with_every_gpu_broken_nothing_is_recorded(gpu_node, drivers):
    night = drivers({"broken_gpus": ["0", "1", "2"]}, **on_gpus(3))
    night.start()
    night.end(code=3)
    assert "uncorrectable ECC error" in night.log()
    assert not night.output.committed() and not night.output.quarantined()
