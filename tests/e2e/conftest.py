"""The Ray that nights share: starting one takes longer than most nights of a few pictures."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

RAY = str(Path(sys.executable).with_name("ray"))


@dataclass(frozen=True)
class Head:
    """A Ray head with a dashboard, of two CPUs.

    Attributes:
        address: where drivers connect to.
        jobs: URL of the job server.
        pid: of its first process.
        env: the environment of its clients, without a Ray and a home of this process.
    """

    address: str
    jobs: str
    pid: int
    env: dict[str, str]


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """One head for the session."""
    folder = tmp_path_factory.mktemp("head")
    port, dashboard, agent, client = free_ports(4)
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env |= {
        "HOME": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        # a job finds its cluster by a file there, where the last Ray to start on this machine
        # would otherwise write its own address; a short path, for it holds sockets
        "RAY_TMPDIR": tempfile.mkdtemp(prefix="ray-"),
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
    jobs = f"http://127.0.0.1:{dashboard}"
    try:
        wait_for_jobs_api(jobs, started, folder / "log")
        yield Head(f"127.0.0.1:{port}", jobs, started.pid, env)
    finally:
        family = psutil.Process(started.pid).children(recursive=True)
        started.terminate()
        started.wait(30)
        for process in psutil.wait_procs(family, timeout=10)[1]:
            process.kill()
        shutil.rmtree(env["RAY_TMPDIR"], ignore_errors=True)
        log.close()


def free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait_for_jobs_api(
    url: str, started: subprocess.Popen[bytes], log: Path, limit_s: float = 90
) -> None:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if started.poll() is not None:
            raise RuntimeError(f"ray start ended early:\n{log.read_text()[-3000:]}")
        try:
            urllib.request.urlopen(f"{url}/api/jobs/", timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"no job server at {url}:\n{log.read_text()[-3000:]}")
