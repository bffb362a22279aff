"""Tables, Markdown and JSON of constructed records."""

import io
import json

import pytest
from rich.console import Console

from samseg.lab.benchmark.breakdown import HEAD, Breakdown, StageTime
from samseg.lab.benchmark.comparison import Comparison, Match, Peaks
from samseg.lab.benchmark.embed_stage import EmbedComparison, Lake, WorkersComparison
from samseg.lab.benchmark.floor import GpuFigures
from samseg.lab.benchmark.machine import Machine
from samseg.lab.benchmark.matching import Agreement
from samseg.lab.benchmark.processes import Peak
from samseg.lab.benchmark.report import markdown, tables
from samseg.lab.benchmark.subject import Subject
from samseg.lab.benchmark.tasks import AutomaticTask, BoxTask
from samseg.lab.benchmark.throughput import Throughput
from samseg.lab.benchmark.timing import Seconds, Speed
from samseg.sam.settings import MaskSettings, ModelSpec

MACHINE = Machine(
    cpu="Abacus 3",
    cpus=2,
    threads=1,
    gpu=None,
    versions={"python": "3.11", "torch": "2.9", "samseg": "0.1.0"},
    commit="0123456789ab+",
)
SPEED = Speed.of(
    [[Seconds(wall=12.0, cpu=10.0), Seconds(wall=8.0, cpu=10.0)]] * 2,
    [[Seconds(wall=2.0, cpu=1.0), Seconds(wall=2.0, cpu=1.0)]] * 2,
)
MATCHES = {
    "samseg": Match.of(Agreement(20, 21, at_90=19, at_99=18, matched=20, iou_sum=19.5)),
    "reference, batches of 7": Match.of(Agreement(20, 20, 20, 20, 20, 20.0)),
    "reference, input + 1e-6": Match.of(Agreement(20, 20, 20, 18, 20, 19.9)),
}


def comparison(**other):
    fields = {
        "task": AutomaticTask(),
        "command": "amg PHOTOS --points-per-side 4",
        "machine": MACHINE,
        "subject": Subject(settings=MaskSettings(points_per_side=4)),
        "photos": ("a.jpg", "b.jpg"),
        "matches": MATCHES,
        "speed": SPEED,
        "memory": None,
        "gpu": None,
    }
    return Comparison(**fields | other)


def embedded():
    def throughput(wall_s):
        return Throughput(images=8.0, wall_s=wall_s, cpu_s=4.0, peak_bytes=987_000_000)

    comparisons = (
        WorkersComparison.of(1, stage=[throughput(4.0)], loop=[throughput(4.0)]),
        WorkersComparison.of(
            2,
            stage=[throughput(2.0), throughput(2.2)],
            loop=[throughput(2.0), throughput(2.0)],
        ),
    )
    return EmbedComparison(
        command="embed PHOTOS",
        machine=MACHINE,
        lake=Lake(folder="photos"),
        model=ModelSpec(),
        settings=MaskSettings(points_per_side=4),
        teams=comparisons,
    )


def staged():
    return Breakdown(
        command="stages PHOTOS",
        machine=MACHINE,
        subject=Subject(),
        photo="a.jpg",
        prompts=256,
        encodings=1,
        repeats=3,
        stages=(
            StageTime(stage="image encoder", unit="image", reference_ms=500, samseg_ms=250),
            StageTime(stage=HEAD, unit="prompt", reference_ms=9, samseg_ms=0),
        ),
    )


def text(record):
    sink = io.StringIO()
    Console(width=110, file=sink).print(*tables(record), sep="\n", highlight=False)
    return sink.getvalue()


@pytest.mark.parametrize(
    "record",
    [
        comparison(),
        comparison(
            task=BoxTask(boxes=5),
            memory=Peaks(
                reference=Peak(loaded_bytes=1, peak_bytes=2),
                samseg=Peak(loaded_bytes=3, peak_bytes=4),
            ),
            gpu=GpuFigures(gpu="NVIDIA H200", ms_per_image=20.0, floor_ms=4.7),
        ),
        embedded(),
        staged(),
    ],
)
def test_records_survive_a_json_round_trip(record):
    written = record.model_dump_json()
    assert json.loads(written)["version"] == 1
    again = type(record).model_validate_json(written)
    assert again == record and again.model_dump_json() == written


def test_comparison_tables():
    shown = text(comparison())
    for row in (
        r"masks found / wanted 21 / 20 20 / 20 20 / 20",
        r"recall at IoU 0.99 0.9000 1.0000 0.9000",
        r"precision at IoU 0.9 0.9048 1.0000 1.0000",
        r"mean matched IoU 0.975000 1.000000 0.995000",
        r"wall time 10.000 2.000 5.00 4.00 to 6.00",
        r"CPU time 10.000 1.000 10.00 10.00 to 10.00",
    ):
        assert row in cells(shown)
    assert "Abacus 3, 1 thread on 2 CPUs; python 3.11, torch 2.9, samseg 0.1.0" in shown
    assert "at 0123456789ab+" in shown
    assert "GPU" not in shown and "peak" not in shown


def test_measured_memory_and_gpu_figures_are_shown():
    peak = Peak(loaded_bytes=400_000_000, peak_bytes=1_500_000_000)
    shown = text(
        comparison(
            memory=Peaks(reference=peak, samseg=Peak(loaded_bytes=410_000_000, peak_bytes=10**9)),
            gpu=GpuFigures(gpu="NVIDIA H200", ms_per_image=20.0, floor_ms=4.7),
        )
    )
    assert "loaded 400 MB 410 MB" in cells(shown)
    assert "at the peak 1500 MB 1000 MB" in cells(shown)
    assert "20.0 ms per image on NVIDIA H200, 24% of the arithmetic floor of 4.7 ms" in shown


def test_markdown_of_a_comparison():
    head, rule, row = markdown(comparison()).splitlines()
    assert head.count("|") == rule.count("|") == row.count("|") == 6
    assert row == (
        "| `python jobs/benchmark.py amg PHOTOS --points-per-side 4` | 21 / 20 | 0.8571 to 0.9500 "
        "| 0.9000 to 1.0000 | 5.0 |"
    )
    alone = comparison(matches={"samseg": MATCHES["reference, batches of 7"]})
    assert markdown(alone).splitlines()[-1].endswith("| 20 / 20 | 1.0000 | - | 5.0 |")


def test_markdown_and_table_of_an_embed_comparison():
    assert markdown(embedded()).splitlines()[2:] == [
        "| 1 | 2.00 | 2.00 | 100% | 987 MB |",
        "| 2 | 3.81 | 4.00 | 95% (91% to 100%) | 987 MB |",
    ]
    assert "2 3.81 4.00 95% (91% to 100%) 987 MB 100%" in cells(text(embedded()))


def test_markdown_and_table_of_a_breakdown():
    assert markdown(staged()).splitlines()[2:] == [
        "| image encoder | image | 500.00 | 250.00 | 2.0 |",
        "| mask head | prompt | 9.00 | 0.00 | - |",
    ]
    assert "image encoder image 500.00 250.00 2.0" in cells(text(staged()))


def cells(shown):
    return [" ".join(line.replace("│", " ").split()) for line in shown.splitlines()]
