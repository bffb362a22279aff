"""Verdicts about images of a lake behind a real web server that fails in several ways."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from samseg.errors import ImageError, OutageError
from samseg.readers.folder import Folder
from samseg.types import RawImage, Shard

KEYS = [f"{i}.jpg" for i in range(4)]


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; `failing` maps a path, or `*` for every file, to a status code."""

    failing: dict[str, int] = {}  # noqa: RUF012

    def send_head(self):
        name = self.path.lstrip("/")
        status = self.failing.get(name) or (self.failing.get("*") if name else None)
        status = self.failing.get("everything", status)
        if status:
            self.send_error(status)
            return None
        return super().send_head()

    def log_message(self, *args: object) -> None:
        pass


class Lake:
    def __init__(self, folder: Path):
        self.failing: dict[str, int] = {}
        handler = type("Bound", (Handler,), {"failing": self.failing})
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(handler, directory=str(folder))
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.reader = Folder(uri=f"http://127.0.0.1:{self._server.server_port}")
        (self.shard,) = self.reader.plan({}).shards

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def read(self, *keys: str) -> list[RawImage]:
        """Read a shard of some of the planned objects, of all by default."""
        sources = [s for s in self.shard.sources if s.key in (keys or KEYS)]
        return list(self.reader.read(Shard.of(sources, len(sources))))


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    for key in KEYS:
        (tmp_path / key).write_bytes(b"photo " + key.encode())
    lake = Lake(tmp_path)
    yield lake
    lake.stop()


def statuses(images: list[RawImage]) -> list[str]:
    return [i.payload.status if isinstance(i.payload, ImageError) else "read" for i in images]


def test_all_images_are_read(lake: Lake) -> None:
    assert statuses(lake.read()) == ["read"] * 4


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_a_failure_of_one_image_is_a_verdict_about_it(lake: Lake, status: int) -> None:
    lake.failing["1.jpg"] = status
    assert statuses(lake.read()) == ["read", "unreadable", "read", "read"]


@pytest.mark.parametrize("status", [404, 403, 429, 500, 503])
@pytest.mark.parametrize("keys", [KEYS, KEYS[:1]], ids=["a shard", "a shard of one"])
def test_a_server_that_fails_for_everything_is_an_outage(
    lake: Lake, status: int, keys: list[str]
) -> None:
    lake.failing["everything"] = status
    with pytest.raises(OutageError, match="does not answer, or is empty"):
        lake.read(*keys)


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_server_that_only_lists_is_an_outage(lake: Lake, status: int) -> None:
    lake.failing["*"] = status
    with pytest.raises(OutageError):
        lake.read()


def test_a_server_that_refuses_connections_is_an_outage(lake: Lake) -> None:
    lake.stop()
    with pytest.raises(OutageError):
        lake.read()
