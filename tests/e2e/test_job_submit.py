"""The nightly job through `ray job submit` on a Ray head."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from samseg.output import Output
from samseg.stages.status import status_of

pytestmark = pytest.mark.ray

ROOT = Path(__file__).resolve().parents[2]
RAY = str(Path(sys.executable).with_name("ray"))


def submit(head, job, limit_s=60):
    """Submit a job and wait for its end; what takes jobs comes up some time after the server."""
    until = time.monotonic() + limit_s
    while True:
        submitted = subprocess.run(
            [RAY, "job", "submit", "--address", head.jobs, "--working-dir", str(ROOT), "--", *job],
            env=head.env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        said = submitted.stdout + submitted.stderr
        if "submitted successfully" in said or time.monotonic() > until:
            return submitted
        time.sleep(1)


def test_the_nightly_job_runs_on_a_cluster(head, tmp_path):
    from samseg.demo.lake import write_demo_lake

    write_demo_lake(tmp_path / "lake", photos=False, scenes=3)
    config = tmp_path / "nightly.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "output": str(tmp_path / "labels"),
                "reader": {"kind": "folder", "uri": str(tmp_path / "lake"), "images_per_shard": 1},
                "masks": {"points_per_side": 4},
            }
        )
    )
    job = [sys.executable, "jobs/nightly.py", str(config)]
    submitted = submit(head, job)
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    lines = [line for line in submitted.stdout.splitlines() if line.startswith('{"samseg"')]
    last = json.loads(lines[-1])
    assert (last["samseg"], last["exit"], last["counts"]["embed"]["images"]) == ("nightly", 0, 3)
    found = status_of(Output(str(tmp_path / "labels")))
    assert found.complete and found.images == 3 and found.codebook == 1
