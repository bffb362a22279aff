"""What a map asks a cluster for while nodes come and go."""

from types import SimpleNamespace

import pytest

from samseg.engine import room
from samseg.engine.room import Room
from samseg.errors import DeviceError, WorkersError

HEAD = {"CPU": 3.0}
GPU_NODE = {"CPU": 8.0, "GPU": 1.0}
ONE_GPU = "{GPU: 1, CPU: 1}"
GPU_AND_CPUS = "{GPU: 1, CPU: 8}"


class Nodes:
    """A cluster of nodes that a test adds and removes, and a clock."""

    def __init__(self, *nodes, own=False):
        self.up, self.own, self.asked, self.now = list(nodes), own, [], 1000.0

    def nodes(self):
        return {str(i): node for i, node in enumerate(self.up)}

    def request(self, demand):
        self.asked.append(str(demand))

    def room(self, **changed):
        settings = {
            "device": "cuda",
            "workers": "auto",
            "cpus_per_worker": "auto",
            "on_gpu_nodes": True,
            "max_workers": 4,
            "first_worker_s": 100.0,
        }
        return Room(self, **(settings | changed))


@pytest.fixture
def cluster(monkeypatch):
    made = Nodes(HEAD)
    monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def test_a_map_asks_at_once_and_uses_the_nodes_that_come(cluster):
    gpus = cluster.room()
    gpus.update(tasks=3, workers=0)
    assert cluster.asked == [f"3 x {ONE_GPU}"] and gpus.workers == 0
    cluster.now, cluster.up = 1002, [HEAD, GPU_NODE]
    gpus.update(tasks=3, workers=0)
    assert gpus.workers == 1 and cluster.asked[-1] == f"3 x {GPU_AND_CPUS}"
    cluster.now, cluster.up = 1020, [HEAD, GPU_NODE, GPU_NODE]
    gpus.update(tasks=2, workers=1)
    assert gpus.workers == 2 and cluster.asked[-1] == f"2 x {GPU_AND_CPUS}"
    gpus.close()
    assert cluster.asked[-1] == f"0 x {GPU_AND_CPUS}"


def test_a_map_waits_for_its_first_node_and_again_when_all_have_gone(cluster):
    gpus = cluster.room()
    gpus.update(tasks=3, workers=0)
    cluster.now, cluster.up = 1099, [HEAD, GPU_NODE]
    gpus.update(tasks=3, workers=0)
    cluster.now, cluster.up = 1200, [HEAD]
    gpus.update(tasks=2, workers=1)
    cluster.now = 1299
    gpus.update(tasks=2, workers=0)
    cluster.now = 1301
    with pytest.raises(WorkersError, match=rf"within 100 s.*asked for 2 x {ONE_GPU}; .* 1 nodes"):
        gpus.update(tasks=2, workers=0)


def test_without_patience_the_night_ends_at_once_but_not_where_there_is_room(cluster):
    with pytest.raises(WorkersError):
        cluster.room(first_worker_s=0).update(tasks=1, workers=0)
    cluster.up = [GPU_NODE]
    cluster.room(first_worker_s=0).update(tasks=1, workers=0)


def test_the_request_is_repeated_because_other_drivers_replace_it(cluster):
    gpus = cluster.room()
    for cluster.now in (1000, 1001.5, 1003):
        gpus.update(tasks=3, workers=0)
    assert cluster.asked == [f"3 x {ONE_GPU}"] * 3


def test_a_given_number_of_workers_is_left_to_ray(cluster):
    fixed = cluster.room(workers=5)
    assert (fixed.workers, fixed.max_workers) == (5, 0)
    for cluster.now in (1000, 1050, 1101):
        fixed.update(tasks=0, workers=0)
    fixed.close()
    assert cluster.asked == []


@pytest.mark.parametrize(
    ("device", "cpus", "wanted"),
    [
        ("cuda", "auto", pytest.raises(DeviceError, match="no GPU")),
        ("cpu", 64, pytest.raises(WorkersError, match="64 CPUs")),
    ],
)
def test_a_ray_of_this_machine_has_room_or_the_night_ends(cluster, device, cpus, wanted):
    cluster.own = True
    with wanted:
        cluster.room(device=device, cpus_per_worker=cpus)


def test_a_ray_of_this_machine_is_asked_for_nothing(cluster):
    cluster.own = True
    cpus = cluster.room(device="cpu")
    cpus.update(tasks=cpus.max_workers, workers=0)
    cpus.close()
    assert cpus.workers == 3 and cluster.asked == []


def tables(cluster):
    return cluster.room(device="cpu", cpus_per_worker=1, on_gpu_nodes=False)


def test_a_short_map_over_tables_is_over_before_a_node_comes(cluster):
    room_for = tables(cluster)
    room_for.update(tasks=4, workers=3)
    assert room_for.workers == 3 and cluster.asked == []
    cluster.now = 1031
    room_for.update(tasks=4, workers=3)
    assert cluster.asked == ["4 x {CPU: 1}"]


def test_a_map_over_tables_without_a_cpu_asks_at_once(cluster):
    cluster.up = [{"CPU": 0.0}]
    tables(cluster).update(tasks=4, workers=0)
    assert cluster.asked == ["4 x {CPU: 1}"]


def test_a_map_over_tables_lets_idle_gpus_go(cluster):
    cluster.up = [HEAD, GPU_NODE]
    room_for = tables(cluster)
    cluster.now = 1031
    room_for.update(tasks=4, workers=3)
    assert room_for.workers == 3 and set(cluster.asked) <= {"0 x {CPU: 1}"}
    cluster.now, cluster.up = 1050, [HEAD]
    room_for.update(tasks=4, workers=3)
    assert cluster.asked[-1] == "4 x {CPU: 1}"
