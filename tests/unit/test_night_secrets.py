"""No credential is written or printed by a night, whatever fails."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow.parquet as pq
import pytest
import yaml

from samseg import cli, nightly
from samseg.demo.lake import write_demo_lake
from samseg.errors import LakeError, StorageError
from samseg.stages.embed.stage import EmbedSpec

SECRET = "wJalr/XUtn'FEMI K7MDENG"
PARTS = ("wJalr", "XUtn", "FEMI", "K7MDENG")


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    lake = tmp_path_factory.mktemp("lake")
    write_demo_lake(lake, photos=False, scenes=1)
    return next(lake.rglob("*.jpg")).read_bytes()


@pytest.fixture
def web_lake(photo):
    """A page of links; each redirects to a signed URL, as stores and hubs do."""
    signed = "?X-Amz-Credential=AKIA&X-Amz-Signature=wJalr/XUtnFEMI/K7MDENG"
    names = ("good.jpg", "text.jpg", "denied.jpg")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            path, _, query = self.path.partition("?")
            name = path.rsplit("/", 1)[-1]
            if name in ("", "lake"):
                links = "".join(f'<a href="/lake/{n}">{n}</a>' for n in names)
                self._answer(200, links.encode())
            elif not query:
                self.send_response(302)
                self.send_header("Location", f"/signed/{name}{signed}")
                self.end_headers()
            elif name == "denied.jpg" and self.command == "GET":
                self._answer(403, f"denied: {self.path}".encode())
            else:
                self._answer(200, photo if name == "good.jpg" else b"no image" * 9)

        do_HEAD = do_GET

        def _answer(self, status, body):
            self.send_response(status, f"status of {self.path}")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/lake"
    server.shutdown()
    server.server_close()


def night(tmp_path, lake, *options):
    """Run a night; return its exit code."""
    path = tmp_path / "night.yaml"
    tree = {
        "output": str(tmp_path / "out"),
        "reader": {"uri": str(lake)},
        "engine": {"kind": "local", "threads": 1, "attempts": 1, "backoff_s": 0},
        "masks": {"points_per_side": 2},
        "embeddings": [],
        "exports": ["coco", "yolo"],
    }
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(SystemExit) as ended:
        cli.main(["nightly", "-c", str(path), *options])
    return ended.value.code


def everything(tmp_path, capsys):
    """Yield all that a night has printed and written, with the rows of tables as text."""
    out, err = capsys.readouterr()
    yield "stdout", out
    yield "stderr", err
    for file in tmp_path.rglob("*"):
        if file.is_file():
            yield str(file), file.name + file.read_bytes().decode("latin-1")
        if file.suffix == ".parquet":
            yield str(file), json.dumps(pq.read_table(file).to_pylist(), default=str)


def leaks(tmp_path, capsys):
    return [
        (place, part)
        for place, text in everything(tmp_path, capsys)
        for part in PARTS
        if part in text
    ]


def test_signed_urls_of_redirects_are_not_stored(tmp_path, capsys, web_lake):
    assert night(tmp_path, web_lake, "--verbose") == 1
    assert leaks(tmp_path, capsys) == []
    rows = [
        row
        for file in (tmp_path / "out" / "images").glob("*.parquet")
        for row in pq.read_table(file, columns=["key", "status"]).to_pylist()
    ]
    assert {row["key"]: row["status"] for row in rows} == {
        "good.jpg": "ok",
        "text.jpg": "undecodable",
        "denied.jpg": "unreadable",
    }


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        ("plan_stage", LakeError),
        ("build", ValueError),
        ("build", StorageError),
        ("embed_stage", OSError),
        ("cluster_stage", StorageError),
        ("export", ValueError),
        ("report_stage", StorageError),
    ],
)
def test_no_error_of_a_stage_tells_a_secret(
    tmp_path, capsys, caplog, monkeypatch, photo, stage, kind
):
    """Neither that of an address nor that of the environment."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "a.jpg").write_bytes(photo)

    def fails(*arguments, **options):
        try:
            raise RuntimeError(f"AccountKey={SECRET};EndpointSuffix=x, request signed by {SECRET}")
        except RuntimeError as e:
            raise kind(f"cannot open s3://AKIA:{SECRET}@bucket/photos") from e

    of = {"build": EmbedSpec, "export": nightly.exports}.get(stage, nightly)
    monkeypatch.setattr(of, stage, fails)
    assert night(tmp_path, tmp_path / "lake", "--verbose") in (1, 3)
    assert leaks(tmp_path, capsys) == []
    assert list((tmp_path / "out" / "nights").glob("*/status.json"))


@pytest.mark.parametrize("key", ["output", "reader.uri", "model.checkpoint"])
@pytest.mark.parametrize(
    "uri", [f"s3://AKIA:{SECRET}@bucket/x", f"https://host/x?X-Amz-Signature={SECRET}"]
)
def test_a_config_with_credentials_begins_no_night(tmp_path, capsys, key, uri):
    (tmp_path / "lake").mkdir()
    assert night(tmp_path, tmp_path / "lake", f"{key}={uri}", "--verbose") == 2
    found = leaks(tmp_path, capsys)
    assert found == [] and not (tmp_path / "out").exists()
