"""What Ray learns of the end of a command."""

import importlib
import sys
from pathlib import Path

import pytest

JOBS = Path(__file__).resolve().parents[2] / "jobs"
RETURNED = ("nightly", "embed", "cluster", "describe", "export")


@pytest.fixture
def run(monkeypatch):
    """Return what runs a job whose command ends with a code: the job's code, and the command."""
    monkeypatch.syspath_prepend(str(JOBS))
    exit_code = importlib.import_module("exit_code")

    def ended(job, code, *arguments):
        seen = []

        def main(given):
            seen.extend(given)
            sys.exit(code)

        monkeypatch.setattr(exit_code, "main", main)
        monkeypatch.setattr(sys, "argv", [f"jobs/{job}.py", *arguments])
        with pytest.raises(SystemExit) as end:
            exec((JOBS / f"{job}.py").read_text(), {})
        return end.value.code, seen

    yield ended
    sys.modules.pop("exit_code")


@pytest.mark.parametrize("job", RETURNED)
@pytest.mark.parametrize(
    ("code", "lenient", "strict"),
    [(0, 0, 0), (1, 0, 1), (2, 2, 2), (3, 3, 3), (130, 130, 130), (143, 143, 143)],
)
def test_only_failed_images_are_forgiven(run, job, code, lenient, strict):
    command = [job, "--config", "night.yaml", "output=labels"]
    assert run(job, code, "night.yaml", "output=labels") == (lenient, command)
    assert run(job, code, "night.yaml", "output=labels", "--strict") == (strict, command)
