"""The connection to Ray and the nodes of the cluster. Imported only while a map runs."""

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import RayError

from samseg.engine.demand import Demand
from samseg.engine.failure import start_errors
from samseg.engine.shares import Node
from samseg.errors import WorkersError

_log = logging.getLogger(__name__)
_OBJECT_STORE_BYTES = 128 * 2**20  # only heartbeats and results pass through it
_PROBE_S = 10.0
_own = False
"""Whether this process is connected to a Ray that it has started."""


class Cluster:
    """The Ray cluster that this process is connected to.

    Attributes:
        own: whether it was started for this map alone, so that no further node can join.
    """

    def __init__(self, own: bool):
        self.own = own

    def nodes(self) -> dict[str, Node]:
        """Return the resources of the nodes that are alive, by node id."""
        return {n["NodeID"]: n["Resources"] for n in ray.nodes() if n["Alive"]}

    def request(self, demand: Demand) -> None:
        """Ask Ray's autoscaler for room, in place of what any driver has asked for before.

        Nothing happens where there is no autoscaler. The request stands until the next one, also if
        this process is killed.
        """
        try:
            request_resources(bundles=[demand.bundle] * demand.workers)
        except RayError as e:
            _log.warning("Ray did not take the request for %s: %s", demand, e)


@contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """Connect to Ray, and disconnect afterwards; `ray_pool` documents which cluster is used.

    Raises:
        WorkersError: no Ray cluster answers at the address.
    """
    global _own
    if ray.is_initialized():
        yield Cluster(_own)
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    try:
        _init(address, address == "local")
        _own = address == "local"
        yield Cluster(_own)
    finally:
        _own = False
        ray.shutdown()


@contextmanager
def started(cpus: int) -> Iterator[None]:
    """Start a Ray of so many CPUs on this machine, on which the maps of the block run."""
    try:
        _init("local", own=True, num_cpus=cpus)
        yield
    finally:
        ray.shutdown()


def started_here() -> bool:
    """Return whether this process is connected to a Ray that it has started."""
    return _own


def _init(address: str, own: bool, **options: Any) -> None:
    options = {"log_to_driver": False, "logging_level": logging.ERROR, **options}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        if own:
            _guard()
            options |= {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
        else:
            _probe(address)
        with start_errors():
            ray.init(address, **options)
        if on_sigterm is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray installs its own
    except (OSError, RuntimeError, ValueError) as e:
        why = str(e).strip().split("\n")[0]
        if own:
            raise WorkersError(f"Ray does not start on this machine: {why}") from e
        raise WorkersError(
            f"no Ray at {address}: {why}; start it there, or unset engine.address and RAY_ADDRESS "
            "to work on this machine alone"
        ) from e


def _probe(address: str) -> None:
    """Fail at once if nothing listens; Ray itself retries for minutes, then ends the process."""
    if "://" in address:
        raise ValueError(
            "addresses with :// are for Ray Client, which cannot run a night; use `ray job submit`"
        )
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        with socket.create_connection((host, int(port)), timeout=_PROBE_S):
            pass


def _guard() -> None:
    """Give a local Ray its token by environment variable, else it writes one to the home directory.

    Ray enables authentication for such a cluster unless RAY_AUTH_MODE disables it, and keeps mode
    and token for the life of the process.
    """
    if not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
