"""The nightly job through `ray job submit` on a dedicated Ray head."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
import yaml

from samseg.output import Output
from samseg.stages.status import status_of

ROOT = Path(__file__).resolve().parents[2]
RAY = str(Path(sys.executable).with_name("ray"))


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """Start a Ray head with a dashboard; yield the job server's URL and the environment."""
    folder = tmp_path_factory.mktemp("head")
    port, dashboard, agent, client = free_ports(4)
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env |= {
        "HOME": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }
    log = (folder / "log").open("wb")
    started = subprocess.Popen(
        [
            RAY,
            "start",
            "--head",
            "--block",
            "--num-cpus=2",
            "--num-gpus=0",
            f"--port={port}",
            "--node-ip-address=127.0.0.1",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard}",
            f"--dashboard-agent-listen-port={agent}",
            f"--ray-client-server-port={client}",
            "--object-store-memory=200000000",
        ],
        env=env,
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{dashboard}"
    try:
        wait_for_jobs_api(url, started, folder / "log")
        yield url, env
    finally:
        descendants = psutil.Process(started.pid).children(recursive=True)
        started.terminate()
        started.wait(30)
        for process in psutil.wait_procs(descendants, timeout=10)[1]:
            process.kill()
        log.close()


def wait_for_jobs_api(url, started, log, limit_s=90):
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if started.poll() is not None:
            raise RuntimeError(f"ray start exited early:\n{log.read_text()[-3000:]}")
        try:
            urllib.request.urlopen(f"{url}/api/jobs/", timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"no job server at {url}:\n{log.read_text()[-3000:]}")


def submit(url, env, job, limit_s=60):
    """Submit a job and wait for its end; retry until the job agent is up."""
    until = time.monotonic() + limit_s
    while True:
        submitted = subprocess.run(
            [RAY, "job", "submit", "--address", url, "--working-dir", str(ROOT), "--", *job],
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if "No available agent" not in submitted.stderr or time.monotonic() > until:
            return submitted
        time.sleep(1)


def test_the_nightly_job_runs_on_a_cluster(head, tmp_path):
    from samseg.demo.lake import write_demo_lake

    url, env = head
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
    submitted = submit(url, env, job)
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    lines = [line for line in submitted.stdout.splitlines() if line.startswith('{"samseg"')]
    last = json.loads(lines[-1])
    assert (last["samseg"], last["exit"], last["counts"]["embed"]["images"]) == ("nightly", 0, 3)
    found = status_of(Output(str(tmp_path / "labels")))
    assert found.complete and found.images == 3 and found.codebook == 1
