"""Against a real S3 server: the commit protocol, and a night whose lake and output are buckets."""

import json
import random
import socket
import subprocess
import threading
import time
import urllib.request

import pytest

from samseg.storage import filesystem, open_lake, open_output, open_uri


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


def test_one_of_many_racing_creates_wins(s3):
    storage = open_output("s3://lake/race")
    barrier, won = threading.Barrier(8), []

    def create(i):
        barrier.wait()
        if storage.put_new("images/part-a.parquet", bytes([i])):
            won.append(i)

    threads = [threading.Thread(target=create, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(won) == 1
    assert storage.get("images/part-a.parquet") == bytes(won)
    assert storage.put_new("images/part-a.parquet", b"late") is False


def test_lists_streams_and_opens_by_uri(s3):
    storage = open_output("s3://lake/photos")
    names = [f"a/{i:03d}.jpg" for i in range(30)] + ["b ü/1.jpg"]
    for name in names:
        storage.put_new(name, name.encode() * 100)
    lake = open_lake("s3://lake/photos")
    found = {s.key: s for s in lake.list()}
    assert sorted(found) == sorted(names)
    with lake.stream("a/003.jpg") as stream:
        stream.seek(9)
        assert stream.read(9) == b"a/003.jpg"
    with open_uri(found["b ü/1.jpg"].uri) as opened:
        assert opened.read(9) == "b ü/1.jpg".encode()[:9]
    assert filesystem("s3://lake/photos").glob("lake/photos/a/00*.jpg")
