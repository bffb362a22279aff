import pytest

from samseg.engine import Local, RayPool, cluster, ray_pool
from samseg.errors import WorkersError


@pytest.mark.parametrize(
    ("pool", "node", "device", "wanted"),
    [
        (RayPool(workers=7), {"CPU": 2.0}, "auto", 7),
        (RayPool(), {"CPU": 2.0, "GPU": 0.0}, "auto", 2),
        (RayPool(), {"CPU": 16.0, "GPU": 2.0}, "auto", 2),
        (RayPool(), {"CPU": 16.0, "GPU": 2.0}, "cpu", 4),
        (RayPool(), {"CPU": 4.0, "GPU": 0.0}, "cuda", 0),
        (RayPool(cpus_per_worker=2), {"CPU": 4.0, "GPU": 0.0}, "cpu", 2),
        (Local(), {"CPU": 4.0, "GPU": 0.0}, "cpu", 1),
    ],
)
def test_the_workers_of_this_machine_are_counted_without_ray(
    monkeypatch, pool, node, device, wanted
):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_pool, "this_node", lambda: node)
    monkeypatch.setattr(RayPool, "_on_this_machine", lambda self: True)
    assert pool.capacity(device) == wanted


def test_planning_needs_no_ray_that_answers(monkeypatch):
    def refused(address):
        raise WorkersError(f"cannot connect to {address}")

    monkeypatch.setattr(cluster, "connected", refused)
    assert RayPool(address="127.0.0.1:1").capacity("cpu") == 0
