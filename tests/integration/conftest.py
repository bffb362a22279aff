"""Real servers that integration tests talk to, on loopback."""

import json
import random
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest


def free_port():
    """Return a port below 50000: weed adds 10000 to each for its gRPC side."""
    for port in random.sample(range(20_000, 50_000), 100):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) and s.connect_ex(("127.0.0.1", port + 10_000)):
                return port
    raise RuntimeError("no free port")


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """A SeaweedFS S3 server on loopback; yields its endpoint."""
    folder = tmp_path_factory.mktemp("weed")
    keys = {
        "identities": [
            {
                "name": "samseg",
                "credentials": [{"accessKey": "key", "secretKey": "secret"}],
                "actions": ["Admin", "Read", "List", "Write"],
            }
        ]
    }
    (folder / "keys.json").write_text(json.dumps(keys))
    (folder / "store").mkdir()
    ports = {n: free_port() for n in ("master", "volume", "filer", "s3")}
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        [
            "weed",
            "server",
            f"-dir={folder / 'store'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
            f"-s3.config={folder / 'keys.json'}",
            f"-master.port={ports['master']}",
            f"-volume.port={ports['volume']}",
            f"-filer.port={ports['filer']}",
            f"-s3.port={ports['s3']}",
            "-s3.port.iceberg=0",  # the catalogs have fixed ports, which only one server can have
            "-s3.port.lance=0",
            "-volume.max=10",
            "-master.volumeSizeLimitMB=64",
            "-master.telemetry=false",
        ],
        stdout=log,
        stderr=log,
    )
    patch = pytest.MonkeyPatch()
    endpoint = f"http://127.0.0.1:{ports['s3']}"
    patch.setenv("AWS_ENDPOINT_URL", endpoint)
    patch.setenv("AWS_ACCESS_KEY_ID", "key")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    patch.setenv("AWS_REGION", "us-east-1")
    try:
        wait_until_up(endpoint, server, folder / "log")
        make_bucket("lake", ports)
        yield endpoint
    finally:
        patch.undo()
        server.kill()
        server.wait(20)
        log.close()


def wait_until_up(endpoint, server, log, limit_s=60):
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if server.poll() is not None:
            raise RuntimeError(f"weed ended early:\n{log.read_text()[-2000:]}")
        try:
            urllib.request.urlopen(endpoint, timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.3)
            continue
        return
    raise RuntimeError(f"weed did not come up:\n{log.read_text()[-2000:]}")


def make_bucket(name, ports):
    subprocess.run(
        [
            "weed",
            "shell",
            f"-master=127.0.0.1:{ports['master']}",
            f"-filer=127.0.0.1:{ports['filer']}",
        ],
        input=f"s3.bucket.create -name {name}\n".encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
