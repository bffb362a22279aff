"""A Ray that cannot start on this machine."""

import json
import os
import subprocess
import sys

import pytest

from samseg.errors import WorkersError

pytestmark = pytest.mark.ray


def test_a_ray_that_does_not_start_gives_its_own_reason(tmp_path):
    lake, long = tmp_path / "lake", tmp_path / ("a" * 120)
    lake.mkdir()
    long.mkdir()
    (lake / "photo.png").write_bytes(b"")
    command = ["label", str(lake), "-o", str(tmp_path / "out"), "engine.kind=ray"]
    ended = subprocess.run(
        [sys.executable, "-m", "samseg.cli", *command],
        env=os.environ | {"RAY_TMPDIR": str(long), "RAY_ADDRESS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(ended.stdout.splitlines()[-1])
    assert (ended.returncode, said["exit"], said["error"]) == (3, 3, "WorkersError")
    assert said["message"].startswith("Ray does not start on this machine: ")
    assert str(long) in said["message"] and "engine.address" not in said["message"]


def test_whatever_ray_raises_as_it_starts_is_given_as_the_reason(monkeypatch):
    from samseg.engine import cluster

    def overloaded(*arguments, **options):
        raise Exception("The current node timed out during startup.")  # as Ray does

    monkeypatch.setattr(cluster.ray, "init", overloaded)
    reason = r"^Ray does not start on this machine: The current node timed out"
    with pytest.raises(WorkersError, match=reason), cluster.started(1):
        pass
