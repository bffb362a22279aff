"""A cluster whose nodes come when a map asks for them, and go when they are idle."""

import json
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager

import pytest

from samseg.output import Output
from tests.chaos.conftest import tree_of, written
from tests.chaos.night import started
from tests.chaos.rows import rows_of
from tests.chaos.stub import photo
from tests.ray_head import ray_head

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PHOTOS = 18
NODE_TYPES = {
    "gpu": {"resources": {"CPU": 1, "GPU": 1}, "max_workers": 3},
    "cpu": {"resources": {"CPU": 2}, "max_workers": 2},
}
OBSERVER = """
    import json, sys, time
    import ray
    ray.init(log_to_driver=False, logging_level="ERROR")
    while True:
        alive = [n["Resources"] for n in ray.nodes() if n["Alive"]]
        gpus = sum(int(n.get("GPU", 0)) for n in alive)
        cpus = sum(int(n.get("CPU", 0)) for n in alive if not n.get("GPU"))
        print(json.dumps([gpus, cpus]), flush=True)
        time.sleep(0.2)
"""
TABLES = """
    import time
    from samseg.engine import RayPool
    from samseg.engine.protocol import Heartbeat, Result, Task

    def build(slot):
        def work(task, attempt):
            yield Heartbeat(task.id, 0)
            time.sleep(0.2)
            return slot.device, slot.threads
        return work

    pool = RayPool(max_workers=1, first_worker_s=60)
    events = pool.map(build, [Task(str(i), i) for i in range(3)], "cpu", cpus=2)
    print({e.value for e in events if isinstance(e, Result)})
"""
NO_ROOM = """
    from samseg.engine import RayPool
    from samseg.engine.protocol import Task
    from samseg.errors import WorkersError

    try:
        pool = RayPool(cpus_per_worker=64, first_worker_s=2)
        list(pool.map(print, [Task("a", None), Task("b", None)], "cuda"))
    except WorkersError as e:
        print(e)
"""


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A head with one CPU, and node types of which no node runs yet."""
    with ray_head(tmp_path_factory.mktemp("head"), cpus=1, node_types=NODE_TYPES) as head:
        yield head


def driver(head, code):
    """Run a driver of its own; returns its output."""
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=head.env | {"RAY_ADDRESS": head.address},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@contextmanager
def observed(head, file):
    """Note the GPUs, and the CPUs of nodes without, while the block runs."""
    code = textwrap.dedent(OBSERVER)
    env = head.env | {"RAY_ADDRESS": head.address}
    with file.open("w") as sink:
        observer = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=sink)
    try:
        yield lambda: [json.loads(line) for line in file.read_text().splitlines(keepends=True)[:-1]]
    finally:
        observer.kill()
        observer.wait(30)


def until(done, limit_s=90):
    """Wait until `done` returns something."""
    end = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_night_takes_the_gpus_it_needs_and_gives_them_back(head, tmp_path):
    lake = tmp_path / "lake"
    lake.mkdir()
    for i in range(PHOTOS):
        (lake / f"{i:03d}.png").write_bytes(photo(i))
    tree = tree_of(
        tmp_path / "output",
        lake,
        engine={"kind": "ray", "cpus_per_worker": 1, "max_workers": 3, "first_worker_s": 60},
        model={"checkpoint": "tiny", "device": "cuda"},
    )
    env = head.env | {"RAY_ADDRESS": head.address}
    with observed(head, tmp_path / "nodes") as seen:
        until(seen)
        night = started(written(tmp_path / "night.yaml", tree), env, {"nap_s": 0.5})
        assert night.wait(240) == 0, (tmp_path / "night.log").read_text()[-3000:]
        until(lambda: seen()[-1] == [0, 1])
        gpus = [n for n, _ in seen()]
    assert (gpus[0], gpus[-1]) == (0, 0)
    assert max(gpus) >= 3  # Ray may start one more while it counts those that are starting
    assert len(rows_of(Output(tree["output"]), "images")) == PHOTOS


def test_a_map_over_tables_takes_cpus_and_no_gpu(head, tmp_path):
    with observed(head, tmp_path / "nodes") as seen:
        until(seen)
        assert driver(head, TABLES) == "{('cpu', 2)}\n"
        until(lambda: seen()[-1] == [0, 1])
    assert max(cpus for _, cpus in seen()) == 3
    assert max(gpus for gpus, _ in seen()) == 0


def test_a_night_for_which_no_node_comes_says_what_it_asked_for(head):
    said = driver(head, NO_ROOM)
    assert "held a worker within 2 s" in said and "2 x {GPU: 1, CPU: 64}" in said
