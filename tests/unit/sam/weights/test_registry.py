"""Finding and downloading checkpoints, with a real HTTP server that drops connections."""

import hashlib
import io
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
import torch
from safetensors.torch import save, save_file

import samseg
from samseg.errors import CheckpointError
from samseg.sam.settings import ModelSpec
from samseg.sam.weights import download, registry
from samseg.sam.weights.registry import identify, resolve


def checkpoint(data: bytes) -> bytes:
    """Return a safetensors file with one tensor of bytes."""
    return save({"a": torch.frombuffer(bytearray(data), dtype=torch.uint8)})


CONTENT = checkpoint(bytes(range(256)) * 400)  # 100 kB
OTHER = checkpoint(bytes(range(255, -1, -1)) * 400)
SHA = hashlib.sha256(CONTENT).hexdigest()


def zipped(*entries: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as z:
        for name in entries:
            z.writestr(name, b"x")
    return archive.getvalue()


class Server:
    """Serves one file; the next `drop` responses break off in the middle."""

    def __init__(self, ranges: bool = True):
        self.content, self.etag, self.ranges = CONTENT, '"one"', ranges
        self.drop = 0
        self.sent: list[tuple[int, int]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def head(self) -> tuple[int, int]:
                size = len(server.content)
                if "missing" in self.path:
                    self.send_error(404)
                    return 0, 0
                requested = self.headers.get("Range")
                start, stop = 0, size
                if requested and server.ranges:
                    first, last = requested.removeprefix("bytes=").split("-")
                    start, stop = int(first), min(int(last) + 1, size)
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
                else:
                    self.send_response(200)
                if server.ranges:
                    self.send_header("Accept-Ranges", "bytes")
                self.send_header("ETag", server.etag)
                self.send_header("Content-Length", str(stop - start))
                self.end_headers()
                return start, stop

            def do_HEAD(self):
                self.head()

            def do_GET(self):
                start, stop = self.head()
                if server.drop:
                    server.drop -= 1
                    stop = (start + stop) // 2
                    self.close_connection = True
                server.sent.append((start, stop))
                self.wfile.write(server.content[start:stop])

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def close(self):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(download, "CHUNK", 10_000)
    monkeypatch.setattr(download, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.delenv(registry.MIRROR_VARIABLE, raising=False)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


def test_downloaded_once_and_kept(server, tmp_path):
    seen = []
    found = resolve(
        f"{server.url}/sam.pth", sha256=SHA, cache=tmp_path, progress=lambda *at: seen.append(at)
    )
    assert found.path.read_bytes() == CONTENT
    assert found.sha256 == SHA
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) == 11
    requests = len(server.sent)
    assert resolve(f"{server.url}/sam.pth", sha256=SHA, cache=tmp_path) == found
    assert len(server.sent) == requests
    assert names(tmp_path) == [found.path.name]


def test_dropped_connection_is_resumed(server, tmp_path):
    server.drop = 3
    found = resolve(f"{server.url}/sam.pth", sha256=SHA, cache=tmp_path)
    assert found.path.read_bytes() == CONTENT
    assert sum(stop - start == 5000 for start, stop in server.sent) == 3


def test_interrupted_download_is_resumed_by_the_next_run(server, tmp_path):
    class Interrupted(BaseException):
        pass

    def interrupt(done, total):
        if done >= 40_000:
            raise Interrupted

    with pytest.raises(Interrupted):
        resolve(f"{server.url}/sam.pth", sha256=SHA, cache=tmp_path, progress=interrupt)
    (part,) = names(tmp_path)
    assert part.endswith(".part")
    server.sent.clear()
    assert resolve(f"{server.url}/sam.pth", sha256=SHA, cache=tmp_path).path.is_file()
    assert server.sent[0][0] == 40_000
    assert len(names(tmp_path)) == 1


def test_partial_download_of_another_version_is_discarded(server, tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resolve(f"{server.url}/sam.pth", cache=tmp_path, progress=interrupt)
    server.content, server.etag = OTHER, '"two"'
    found = resolve(f"{server.url}/sam.pth", cache=tmp_path)
    assert found.path.read_bytes() == OTHER
    assert names(tmp_path) == [found.path.name]


def test_failing_server_is_reported_and_received_bytes_are_kept(server, tmp_path):
    server.drop = 10**6
    with pytest.raises(CheckpointError, match=r"cannot fetch http.*the next run resumes there"):
        resolve(f"{server.url}/sam.pth", sha256=SHA, cache=tmp_path)
    server.drop = 0
    assert resolve(f"{server.url}/sam.pth", sha256=SHA, cache=tmp_path).sha256 == SHA


def test_wrong_content_is_removed_and_a_retry_succeeds(server, tmp_path):
    server.content = b"x" * 30_000
    bad = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(
        CheckpointError, match=f"sha256 {bad}, wanted {SHA}.*was removed. Run again"
    ):
        resolve(f"{server.url}/sam.pth", sha256=SHA, cache=tmp_path)
    assert names(tmp_path) == []
    server.content = CONTENT
    assert resolve(f"{server.url}/sam.pth", sha256=SHA, cache=tmp_path).sha256 == SHA


def test_damaged_cached_file_is_downloaded_again(server, tmp_path):
    found = resolve(f"{server.url}/sam.pth", sha256=SHA, cache=tmp_path)
    found.path.write_bytes(b"damaged")
    assert resolve(f"{server.url}/sam.pth", sha256=SHA, cache=tmp_path).sha256 == SHA
    assert found.path.read_bytes() == CONTENT


PAGE = b"<!DOCTYPE html><title>Sign in</title>"


@pytest.mark.parametrize(
    "content", [PAGE, b"", CONTENT[:-1], CONTENT[:9000], zipped("a.jpg")], ids=lambda c: str(c[:9])
)
def test_a_download_that_is_no_checkpoint_is_not_kept(server, tmp_path, content):
    url = f"{server.url}/sam.pth"
    server.content = content
    with pytest.raises(CheckpointError, match=r"sam\.pth is not a checkpoint: it begins with b"):
        resolve(url, cache=tmp_path)
    assert names(tmp_path) == []
    server.content, server.etag = CONTENT, '"two"'
    found = resolve(url, cache=tmp_path)
    found.path.write_bytes(content)  # as earlier versions kept it
    assert resolve(url, cache=tmp_path) == found
    assert found.path.read_bytes() == CONTENT


def test_a_cached_checkpoint_is_not_downloaded_again(server, tmp_path):
    resolve(f"{server.url}/sam.pth", cache=tmp_path)
    server.sent.clear()
    resolve(f"{server.url}/sam.pth", cache=tmp_path)
    assert server.sent == []


def test_server_without_ranges(tmp_path):
    server = Server(ranges=False)
    try:
        found = resolve(f"{server.url}/sam.pth", sha256=SHA, cache=tmp_path)
        assert found.path.read_bytes() == CONTENT
    finally:
        server.close()


def test_concurrent_workers_download_once(server, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(
                lambda _: resolve(f"{server.url}/sam.pth", sha256=SHA, cache=tmp_path), range(4)
            )
        )
    assert len(set(found_one.path for found_one in found)) == 1
    assert sum(stop - start for start, stop in server.sent) == len(CONTENT)


def test_missing_remote_file_is_reported(server, tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot reach http.*missing.pth"):
        resolve(f"{server.url}/missing.pth", cache=tmp_path)


def test_other_filesystems(tmp_path):
    with fsspec.open("memory://models/mine.pth", "wb") as f:
        f.write(CONTENT)
    found = resolve("memory://models/mine.pth", cache=tmp_path / "new" / "folder")
    assert found.path.read_bytes() == CONTENT


def test_published_checkpoint_from_a_mirror(server, tmp_path, monkeypatch):
    monkeypatch.setitem(
        registry.PUBLISHED,
        "vit_b",
        registry.Published("https://nowhere.invalid/sam_vit_b_01ec64.pth", SHA),
    )
    monkeypatch.setenv(registry.MIRROR_VARIABLE, server.url)
    found = resolve("vit_b", cache=tmp_path)
    assert (found.sha256, found.arch) == (SHA, "vit_b")
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "sam_vit_b_01ec64.pth").write_bytes(CONTENT)
    monkeypatch.setenv(registry.MIRROR_VARIABLE, str(folder))
    assert resolve("vit_b", cache=tmp_path).path.parent == folder


def test_published_checkpoint_is_identified_without_download(tmp_path):
    for name, published in registry.PUBLISHED.items():
        assert identify(ModelSpec(checkpoint=name, cache=tmp_path)).sha256 == published.sha256
    assert list(tmp_path.iterdir()) == []
    assert identify(ModelSpec()).recommended == resolve("tiny").recommended


@pytest.mark.parametrize("name", ["tiny-1", "tiny-2"])
def test_shipped_weights_saved_again_keep_their_recommended_settings(tmp_path, name):
    weights = samseg.load_model(name).state_dict()
    torch.save(weights, tmp_path / "again.pth")
    save_file(weights, tmp_path / "again.safetensors")
    torch.save({k: v + 1 for k, v in weights.items()}, tmp_path / "changed.pth")
    wanted = resolve(name)
    for file in ("again.pth", "again.safetensors"):
        found = resolve(tmp_path / file)
        assert found.recommended == wanted.recommended != {} and found.arch == "tiny"
    assert resolve(tmp_path / "changed.pth").recommended == {}


def test_local_file_is_used_in_place(tmp_path):
    path = tmp_path / "mine.pth"
    path.write_bytes(CONTENT)
    for way in (path, str(path), f"file://{path}"):
        assert resolve(way) == registry.Resolved(SHA, None, {}, path)
    with pytest.raises(CheckpointError, match=f"mine.pth has sha256 {SHA}, wanted {'0' * 64}"):
        resolve(path, sha256="0" * 64)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("vit_g", "did you mean 'vit_"),
        ("tinny", "did you mean 'tiny'"),
        ("{tmp}/sam_vit_b_01ec46.pth", "did you mean '{tmp}/sam_vit_b_01ec64.pth'"),
        ("{tmp}/none/at/all.pth", "no file {tmp}/none/at/all.pth"),
    ],
)
def test_unknown_checkpoints(tmp_path, name, hint):
    (tmp_path / "sam_vit_b_01ec64.pth").touch()
    with pytest.raises(CheckpointError) as refused:
        resolve(name.format(tmp=tmp_path))
    assert hint.format(tmp=tmp_path) in str(refused.value)
    assert "not one of tiny, tiny-1, tiny-2, vit_b, vit_l, vit_h" in str(refused.value)
