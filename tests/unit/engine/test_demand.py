import pytest

from samseg.engine.demand import Demand, demand_for
from samseg.engine.shares import Share

HEAD = {"CPU": 3.0}
GPU_NODE = {"CPU": 8.0, "GPU": 1.0}
ON_GPU = Share("cuda", 8, 8.0, 1)
FIRST_GPU = Share("cuda", 1, 1.0, 0)
NO_CPUS = Share("cuda", 1, 0.0, 2)
ON_CPUS = Share("cpu", 2, 2.0, 1)


@pytest.mark.parametrize(
    ("tasks", "share", "nodes", "on_gpu_nodes", "wanted", "text"),
    [
        (3, FIRST_GPU, [HEAD], True, Demand(3, 1, 1.0), "3 x {GPU: 1, CPU: 1}"),
        (3, ON_GPU, [HEAD, GPU_NODE], True, Demand(3, 1, 8.0), "3 x {GPU: 1, CPU: 8}"),
        (2, NO_CPUS, [{"GPU": 2.0}], True, Demand(2, 1, 0.0), "2 x {GPU: 1}"),
        (4, ON_CPUS, [HEAD], True, Demand(4, 0, 2.0), "4 x {CPU: 2}"),
        (4, ON_CPUS, [HEAD, GPU_NODE], True, Demand(4, 0, 2.0), "4 x {CPU: 2}"),
        (4, ON_CPUS, [HEAD], False, Demand(4, 0, 2.0), "4 x {CPU: 2}"),
        (4, ON_CPUS, [HEAD, GPU_NODE], False, Demand(0, 0, 2.0), "0 x {CPU: 2}"),
        (0, ON_GPU, [HEAD, GPU_NODE], True, Demand(0, 1, 8.0), "0 x {GPU: 1, CPU: 8}"),
    ],
)
def test_what_is_asked_for(tasks, share, nodes, on_gpu_nodes, wanted, text):
    demand = demand_for(tasks, share, nodes, on_gpu_nodes=on_gpu_nodes)
    assert demand == wanted
    assert str(demand) == text


def test_a_bundle_names_only_resources_that_a_worker_takes():
    assert Demand(1, 0, 2.0).bundle == {"CPU": 2.0}
    assert Demand(1, 1, 0.0).bundle == {"GPU": 1.0}
