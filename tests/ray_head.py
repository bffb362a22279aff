"""Nodes of a real Ray, started as users do, in processes that tests may kill."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

RAY = str(Path(sys.executable).with_name("ray"))


@dataclass(frozen=True)
class Head:
    """A Ray head with a dashboard.

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


@contextmanager
def ray_head(folder: Path, cpus: int = 2) -> Iterator[Head]:
    """Start a head of some CPUs, with its log and its home in `folder`."""
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
    ports = [
        f"--port={port}",
        f"--dashboard-port={dashboard}",
        f"--dashboard-agent-listen-port={agent}",
        f"--ray-client-server-port={client}",
        "--dashboard-host=127.0.0.1",
    ]
    jobs = f"http://127.0.0.1:{dashboard}"
    with _node(folder / "log", env, "--head", f"--num-cpus={cpus}", "--num-gpus=0", *ports) as pid:
        try:
            _wait_for_jobs_api(jobs, pid, folder / "log")
            yield Head(f"127.0.0.1:{port}", jobs, pid, env)
        finally:
            shutil.rmtree(env["RAY_TMPDIR"], ignore_errors=True)


@contextmanager
def ray_node(head: Head, folder: Path, cpus: int, gpus: int = 0) -> Iterator[psutil.Process]:
    """Add a node to a head's cluster; yields its first process."""
    (agent,) = free_ports(1)
    resources = f"--num-cpus={cpus}", f"--num-gpus={gpus}"
    ports = (f"--dashboard-agent-listen-port={agent}",)
    log = folder / "node.log"
    with _node(log, head.env, f"--address={head.address}", *resources, *ports) as pid:
        until = time.monotonic() + 60
        while "Ray runtime started" not in log.read_text():
            if time.monotonic() > until or not psutil.pid_exists(pid):
                raise RuntimeError(f"the node did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield psutil.Process(pid)


def kill_hard(process: psutil.Process) -> None:
    """Send SIGKILL to a process and all below it."""
    family = [process, *process.children(recursive=True)]
    for one in family:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=10)


@contextmanager
def _node(log: Path, env: dict[str, str], *options: str) -> Iterator[int]:
    with log.open("wb") as file:
        started = subprocess.Popen(
            [
                *(RAY, "start", "--block", "--node-ip-address=127.0.0.1"),
                *("--object-store-memory=200000000", *options),
            ],
            env=env,
            stdout=file,
            stderr=file,
        )
    try:
        yield started.pid
    finally:
        if started.poll() is None:
            family = psutil.Process(started.pid).children(recursive=True)
            started.terminate()
            started.wait(30)
            for process in psutil.wait_procs(family, timeout=10)[1]:
                process.kill()


def free_ports(n: int) -> list[int]:
    """Return ports at which nothing listens."""
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _wait_for_jobs_api(url: str, pid: int, log: Path, limit_s: float = 90) -> None:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            raise RuntimeError(f"ray start ended early:\n{log.read_text()[-3000:]}")
        try:
            urllib.request.urlopen(f"{url}/api/jobs/", timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"no job server at {url}:\n{log.read_text()[-3000:]}")
