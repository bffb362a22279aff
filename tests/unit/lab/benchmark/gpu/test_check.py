"""The check of a GPU: what ends a section, and the whole of it at tiny shapes on the CPU."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from samseg.lab.benchmark.gpu.check import Section, run_check
from samseg.lab.benchmark.gpu.costs import _covered
from samseg.lab.benchmark.gpu.findings import GpuCheck, MaskParity, TensorParity
from samseg.lab.benchmark.gpu.subject import CheckSubject
from samseg.lab.benchmark.gpu.table import markdown

JOB = Path(__file__).resolve().parents[5] / "jobs" / "gpu_check.py"


def tensor(name, passed=True):
    return TensorParity(name=name, error=1e-5, most=1e-4, passed=passed)


def run(*chosen, seconds=60.0):
    """Run sections; return the check, and the statuses each time that it was kept."""
    kept = []
    check = run_check(
        CheckSubject.of(torch.device("cpu")),
        chosen,
        seconds=seconds,
        command="",
        keep=lambda so_far: kept.append(so_far),
    )
    return check, kept


def test_an_error_ends_its_own_section_and_keeps_what_it_found():
    def breaks():
        yield tensor("one")
        raise torch.OutOfMemoryError("no memory")

    check, kept = run(
        Section("breaks", 0, breaks), Section("works", 0, lambda: iter([tensor("two")]))
    )
    broken, works = check.sections
    assert (broken.status, works.status) == ("error", "passed")
    assert [f.name for f in broken.findings] == ["one"]
    assert "torch.OutOfMemoryError: no memory" in broken.reason
    assert "in breaks" in broken.reason  # the traceback
    assert not check.passed
    assert [len(k.sections[0].findings) for k in kept[:2]] == [1, 1]  # kept as it came
    assert "OutOfMemoryError: no memory" in markdown(check)


def test_a_finding_that_fails_fails_the_check():
    check, _ = run(Section("differs", 0, lambda: iter([tensor("a"), tensor("b", False)])))
    assert check.sections[0].status == "failed"
    assert not check.passed
    assert "FAILED" in markdown(check)


def test_what_would_take_too_long_is_skipped():
    def never():
        raise AssertionError

    check, _ = run(Section("long", 61, never), Section("short", 1, lambda: iter([tensor("a")])))
    assert [s.status for s in check.sections] == ["skipped", "passed"]
    assert check.sections[0].reason == "takes about 61 s, and 60 s are left"
    assert check.passed


RLE = {"size": [2, 2], "counts": b"04"}
OTHER = {"size": [2, 2], "counts": b"13"}


@pytest.mark.parametrize(
    ("found", "least", "passed"),
    [
        ([RLE], 1.0, True),
        ([OTHER], 0.1, False),  # IoU 0.75
        ([RLE, OTHER], 0.6, False),  # precision 0.5
        ([RLE, OTHER], 0.5, True),
        ([OTHER], None, None),
    ],
)
def test_masks_pass_by_recall_and_precision(found, least, passed):
    assert MaskParity.of("", [([RLE], found)], least).passed is passed


@pytest.mark.parametrize(
    ("intervals", "length"),
    [
        ([], 0),
        ([(1, 3)], 2),
        ([(5, 6), (1, 3)], 3),
        ([(1, 4), (2, 3), (3, 6)], 5),
        ([(1, 2), (2, 4)], 3),
    ],
)
def test_time_that_kernels_cover(intervals, length):
    assert _covered(intervals) == length


@pytest.mark.usefixtures("one_thread")
def test_the_whole_check_on_the_cpu(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("gpu_check_job", JOB)
    job = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(job)
    arguments = ["--device", "cpu", "--minutes", "30", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", *arguments])
    ran = CliRunner().invoke(job.app, arguments)
    assert ran.exit_code == 0, ran.output
    check = GpuCheck.model_validate_json((tmp_path / "gpu_check.json").read_text())
    assert [(s.name, s.status) for s in check.sections] == [
        ("masks", "passed"),
        ("tensors", "passed"),
        ("speed tiny", "passed"),
        ("costs tiny", "passed"),
    ]
    masks, _, speeds, costs = check.sections
    assert all(f.match.wanted > 0 for f in masks.findings)
    ours, halves, theirs = speeds.findings[:3]
    assert (ours.precision, halves.precision, theirs.side) == (
        "float32", "bfloat16", "segment_anything",
    )  # fmt: skip
    assert min(ours.stages_ms.values()) > 0
    assert set(theirs.stages_ms) == set(ours.stages_ms) - {"pooling"}
    assert costs.findings[0].kernels[0].ms > 0
    written = (tmp_path / "gpu_check.md").read_text()
    assert written.strip() in ran.stdout
    assert "| image encoder |" in written
