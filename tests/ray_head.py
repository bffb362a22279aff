"""Nodes of a real Ray, started as users do, in processes that tests may kill."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

RAY = str(Path(sys.executable).with_name("ray"))

T = TypeVar("T")

_LIMIT_S, _ATTEMPTS = 240.0, 3
"""How long a node may take on a busy machine, and how often it is started: parts of Ray wait 30 s
for each other, and one that has waited in vain ends the node."""


class EndedEarlyError(RuntimeError):
    """A node has ended while it was being started."""


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
def ray_head(
    folder: Path, cpus: int = 2, node_types: dict[str, dict[str, Any]] | None = None
) -> Iterator[Head]:
    """Start a head of some CPUs, with its log and its home in `folder`.

    Args:
        folder: of the log and the home.
        cpus: of the head.
        node_types: with these, Ray's autoscaler starts nodes on this machine when they are asked
            for, and stops them when they are idle; as in a Ray cluster file.
    """
    with _attempted(lambda: _started_head(folder, cpus, node_types)) as head:
        yield head


@contextmanager
def ray_node(head: Head, folder: Path, cpus: int, gpus: int = 0) -> Iterator[psutil.Process]:
    """Add a node to a head's cluster; yields its first process."""
    with _attempted(lambda: _started_node(head, folder, cpus, gpus)) as node:
        yield node


@contextmanager
def _attempted(start: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
    with ExitStack() as stack:
        for left in reversed(range(_ATTEMPTS)):
            try:
                started = stack.enter_context(start())
                break
            except EndedEarlyError:
                if not left:
                    raise
        yield started


@contextmanager
def _started_head(
    folder: Path, cpus: int, node_types: dict[str, dict[str, Any]] | None
) -> Iterator[Head]:
    port, dashboard, agent, client = free_ports(4)
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env |= {
        "HOME": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_worker_niceness": "0",  # as in tests/conftest.py
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
    if node_types is not None:
        env |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
        config = folder / "autoscaling.json"
        config.write_text(json.dumps(_autoscaling(f"127.0.0.1:{port}", cpus, node_types)))
        ports.append(f"--autoscaling-config={config}")
    jobs = f"http://127.0.0.1:{dashboard}"
    with _node(folder / "log", env, "--head", f"--num-cpus={cpus}", "--num-gpus=0", *ports) as pid:
        try:
            _wait_until_started(jobs, client, pid, folder / "log")
            yield Head(f"127.0.0.1:{port}", jobs, pid, env)
        finally:
            shutil.rmtree(env["RAY_TMPDIR"], ignore_errors=True)


@contextmanager
def _started_node(head: Head, folder: Path, cpus: int, gpus: int) -> Iterator[psutil.Process]:
    (agent,) = free_ports(1)
    resources = f"--num-cpus={cpus}", f"--num-gpus={gpus}"
    ports = (f"--dashboard-agent-listen-port={agent}",)
    log = folder / "node.log"
    with _node(log, head.env, f"--address={head.address}", *resources, *ports) as pid:
        until = time.monotonic() + _LIMIT_S
        while "Ray runtime started" not in log.read_text():
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                raise EndedEarlyError(f"ray start ended early:\n{log.read_text()[-3000:]}")
            if time.monotonic() > until:
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


def _autoscaling(address: str, cpus: int, node_types: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the config of an autoscaler whose nodes are processes of this machine."""
    head = {"resources": {"CPU": cpus}, "max_workers": 0}
    return {
        "cluster_name": "test",
        "max_workers": sum(kind["max_workers"] for kind in node_types.values()),
        "idle_timeout_minutes": 0.1,
        "upscaling_speed": 100.0,
        "provider": {
            "type": "fake_multinode",  # nodes are processes of this machine
            "gcs_address": address,
            "launch_multiple": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "use_node_id_as_ip": True,
        },
        "available_node_types": {
            name: {"node_config": {}, "min_workers": 0} | kind
            for name, kind in (node_types | {"ray.head.default": head}).items()
        },
        "head_node_type": "ray.head.default",
        "auth": {"ssh_user": "ray"},
        "docker": {},
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
    }


def free_ports(n: int) -> list[int]:
    """Return ports at which nothing listens."""
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _wait_until_started(jobs: str, client: int, pid: int, log: Path) -> None:
    """Wait for the job server, and for Ray's client server, which waits for the node."""
    until = time.monotonic() + _LIMIT_S
    while time.monotonic() < until:
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            raise EndedEarlyError(f"ray start ended early:\n{log.read_text()[-3000:]}")
        try:
            urllib.request.urlopen(f"{jobs}/api/jobs/", timeout=2).close()
            socket.create_connection(("127.0.0.1", client), timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"no job server at {jobs}:\n{log.read_text()[-3000:]}")
