import pytest

from samseg.lab.benchmark.floor import GpuFigures, floor_ms


@pytest.mark.parametrize(
    ("gpu", "arch", "expected"),
    [
        ("NVIDIA H200", "vit_b", (0.97 + 1024 * 0.00362) / 0.989),
        ("NVIDIA H100 80GB HBM3", "vit_h", (5.96 + 1024 * 0.00362) / 0.989),
        ("NVIDIA H100 PCIe", "vit_b", (0.97 + 1024 * 0.00362) / 0.756),
        ("NVIDIA A100-SXM4-80GB", "vit_l", (2.99 + 1024 * 0.00362) / 0.312),
        ("NVIDIA L40S", "vit_b", (0.97 + 1024 * 0.00362) / 0.362),
        ("NVIDIA L4", "vit_b", (0.97 + 1024 * 0.00362) / 0.121),
    ],
)
def test_the_floor_is_flop_over_peak(gpu, arch, expected):
    assert floor_ms(gpu, arch, encodings=1, prompts=1024) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("gpu", "arch"),
    [
        ("NVIDIA GeForce GTX 1080", "vit_b"),
        ("NVIDIA H200", "tiny"),
        ("NVIDIA H200 NVL", "vit_b"),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", "vit_b"),
    ],
)
def test_an_unknown_floor_is_reported(gpu, arch):
    assert floor_ms(gpu, arch, encodings=1, prompts=1024) is None
    figures = GpuFigures(gpu=gpu, ms_per_image=20.0, floor_ms=None)
    assert str(figures) == (
        f"20.0 ms per image on {gpu}; no arithmetic floor is known for this GPU and model"
    )


def test_the_fraction_is_floor_over_measured():
    figures = GpuFigures(gpu="NVIDIA H200", ms_per_image=19.2, floor_ms=4.8)
    assert str(figures) == (
        "19.2 ms per image on NVIDIA H200, 25% of the arithmetic floor of 4.8 ms"
    )
