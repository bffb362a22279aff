import pytest

from samseg.engine.shares import Share, share_out

LAPTOP = {"CPU": 2.0}
HEAD = {"CPU": 0.0, "memory": 1.0}
CPU_NODE = {"CPU": 16.0}
GPU_NODE = {"CPU": 8.0, "GPU": 1.0}
DGX = {"CPU": 128.0, "GPU": 8.0}


@pytest.mark.parametrize(
    ("nodes", "device", "cpus", "wanted"),
    [
        pytest.param([LAPTOP], "auto", "auto", Share("cpu", 1, 1, 2), id="laptop"),
        pytest.param([{"CPU": 1.0}], "cpu", "auto", Share("cpu", 1, 1, 1), id="one core"),
        pytest.param([{"CPU": 8.0}], "cpu", "auto", Share("cpu", 2, 2, 4), id="two threads each"),
        pytest.param([{"CPU": 64.0}], "cpu", "auto", Share("cpu", 4, 4, 16), id="four at most"),
        pytest.param([HEAD, CPU_NODE], "auto", "auto", Share("cpu", 4, 4, 4), id="idle head"),
        pytest.param([CPU_NODE, LAPTOP], "cpu", "auto", Share("cpu", 1, 1, 18), id="fits both"),
        pytest.param([LAPTOP], "cpu", 4, Share("cpu", 4, 4, 0), id="more than a node has"),
        pytest.param(
            [CPU_NODE, GPU_NODE], "auto", "auto", Share("cuda", 8, 8, 1), id="GPU preferred"
        ),
        pytest.param([CPU_NODE, GPU_NODE], "cpu", 4, Share("cpu", 4, 4, 6), id="GPU unused"),
        pytest.param([DGX, GPU_NODE], "cuda", "auto", Share("cuda", 8, 8, 9), id="many GPUs"),
        pytest.param([DGX], "cuda", 32, Share("cuda", 32, 32, 4), id="CPUs are the limit"),
        pytest.param(
            [{"CPU": 4.0, "GPU": 8.0}], "cuda", "auto", Share("cuda", 1, 0.5, 8), id="few CPUs"
        ),
        pytest.param([{"GPU": 2.0}], "cuda", "auto", Share("cuda", 1, 0, 2), id="no CPUs"),
        pytest.param([CPU_NODE], "cuda", "auto", Share("cuda", 1, 1, 0), id="no GPU yet"),
        pytest.param([], "auto", "auto", Share("cpu", 1, 1, 0), id="no nodes"),
    ],
)
def test_share(nodes, device, cpus, wanted):
    assert share_out(nodes, device, cpus) == wanted


def test_a_worker_that_reserves_no_cpu_fits_any_node():
    for nodes in ([{"CPU": 0.0}], [{}], [{"CPU": 1.0}]):
        share = share_out(nodes, "cpu", 0)
        assert share.workers > 0 and (share.cpus, share.threads) == (0.0, 1)
    assert share_out([], "cpu", 0).workers == 0
