"""Requests that fail for a while, against stores that fail on purpose."""

import http.server
import random
import socket
import threading
from contextlib import contextmanager

import fsspec
import pytest

from samseg.errors import LakeError, NotFoundError, StorageError
from samseg.storage import clients, filesystem, open_lake, open_output
from samseg.storage.retries import Retries
from tests.chaos.flaky import FAULTS, Bucket, serving

TRIES = len(clients.DELAYS_S) + 1


@pytest.fixture
def bucket(monkeypatch):
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION"):
        monkeypatch.setenv(f"AWS_{name}", "us-east-1")
    with serving(Bucket()) as bucket:
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
        yield bucket


def failing(bucket, kind, fault, times=1, after=0):
    """Let some requests of a kind fail, after others that do not."""
    count = iter([""] * after + [fault] * times)
    bucket.fault = lambda asked: next(count, "") if asked == kind else ""


CALLS = {
    "LIST": lambda store: [s.key for s in store.list("a")],
    "GET": lambda store: store.get("a/1"),
    "HEAD": lambda store: store.exists("a/1"),
    "PUT": lambda store: store.put_new("a/new", b"new"),
    "DELETE": lambda store: store.delete("a/1"),
}


@pytest.mark.parametrize(
    ("kind", "fault"), [(k, f) for k, faults in FAULTS.items() for f in faults]
)
def test_a_fault_that_passes_does_not_change_the_answer(bucket, kind, fault):
    bucket.objects.update({f"lake/root/a/{i}": b"%d" % i * 9 for i in range(5)})
    store = open_output("s3://lake/root")
    calm = CALLS[kind](store)
    for name, contents in {"a/1": b"1" * 9, "a/new": None}.items():
        bucket.objects.pop(f"lake/root/{name}", None)
        if contents is not None:
            bucket.objects[f"lake/root/{name}"] = contents
    failing(bucket, kind, fault, times=2)
    assert CALLS[kind](store) == calm


@pytest.mark.parametrize("fault", FAULTS["LIST"])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_list_goes_on_after_the_last_key(bucket, fault, after):
    keys = [f"{i:05d}" for i in range(2500)]
    bucket.objects.update({f"lake/root/{key}": b"" for key in keys})
    failing(bucket, "LIST", fault, after=after)
    assert [s.key for s in open_output("s3://lake/root").list()] == keys


@pytest.mark.parametrize(
    ("first", "second", "created", "stands"),
    [
        (b"mine", None, True, b"mine"),
        (None, b"mine", True, b"mine"),  # of another run with the same contents: no difference
        (None, b"another's", False, b"another's"),
    ],
)
@pytest.mark.parametrize("fault", ["lost", "lost with 500"])
def test_a_lost_answer_to_a_create_is_found_out(bucket, first, second, created, stands, fault):
    failing(bucket, "PUT", fault if first else "busy")
    put = bucket.fault

    def then(kind):
        fault = put(kind)
        if fault and second:
            bucket.objects["lake/key"] = second
        return fault

    bucket.fault = then
    assert open_output("s3://lake").put_new("key", b"mine") is created
    assert bucket.objects["lake/key"] == stands


def test_an_object_that_was_there_is_not_this_calls_whatever_it_holds(bucket):
    bucket.objects["lake/key"] = b"same"
    assert open_output("s3://lake").put_new("key", b"same") is False


@pytest.mark.parametrize("fault", FAULTS["GET"])
def test_a_stream_goes_on_where_it_broke(bucket, fault):
    whole = random.Random(0).randbytes(9 << 20)
    bucket.objects["lake/big"] = whole
    with open_output("s3://lake").stream("big") as stream:
        failing(bucket, "GET", fault, times=2, after=1)
        assert stream.read(5 << 20) + stream.read(9 << 20) == whole
        stream.seek(7 << 20)
        assert stream.read(1000) == whole[7 << 20 :][:1000]


def test_objects_opened_by_uri_are_retried_too(bucket):
    bucket.objects["lake/a.bin"] = bytes(1000)
    failing(bucket, "GET", "cut body", times=2)
    filesystem("s3://lake").clear_instance_cache()  # of other tests, with other addresses
    assert filesystem("s3://lake").cat_file("lake/a.bin") == bytes(1000)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_store_that_keeps_failing_is_named(bucket, call):
    bucket.share, bucket.only = 1.0, frozenset({"busy"})
    with pytest.raises(StorageError, match=r"cannot \w+ s3://lake/.*503"):
        call(open_output("s3://lake"))
    assert bucket.seen.total() == 2 * TRIES  # each is counted once as a request, once as a fault


def test_what_cannot_pass_is_not_retried(bucket):
    with pytest.raises(NotFoundError):
        open_output("s3://lake").get("nope")
    assert bucket.seen["GET"] == 1


def test_an_outage_is_waited_for_once():
    asked = []

    def request():
        asked.append(1)
        raise OSError("down")

    store = Retries(remote=True)
    for wanted in (TRIES, 1, 1):
        asked.clear()
        with pytest.raises(OSError, match="down"):
            store.call(request)
        assert len(asked) == wanted
    assert store.call(lambda: "back") == "back"
    asked.clear()
    with pytest.raises(OSError, match="down"):
        store.call(request)
    assert len(asked) == TRIES


@pytest.fixture
def silent(monkeypatch):
    """A server that accepts connections and never answers, and clients with short limits."""
    for name, value in {"CONNECT_S": 0.3, "REQUEST_S": 0.3, "RETRY_FOR_S": 0.5}.items():
        monkeypatch.setattr(clients, name, value)
    monkeypatch.setattr(fsspec.config, "conf", {})
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.timeout(30)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_object_store_that_never_answers_is_given_up(silent, bucket, monkeypatch, call):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{silent}")
    with pytest.raises(StorageError, match=rf"cannot \w+ s3://lake/.*{silent}.*timed out"):
        call(open_output("s3://lake"))


@pytest.mark.timeout(30)
def test_a_web_server_that_never_answers_is_given_up(silent):
    with pytest.raises(LakeError, match=f"cannot list http://{silent}"):
        list(open_lake(f"http://{silent}/photos").list())
    with pytest.raises(StorageError, match=f"cannot read http://{silent}"):
        open_lake(f"http://{silent}/photos").get("a.jpg")


@contextmanager
def web_of(pages):
    """Serve pages by path: a body, or a status; a list of them is answered in turn."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = pages.get(self.path, 404)  # folders have no "/" at the end here
            if isinstance(page, list):
                page = page.pop(0) if len(page) > 1 else page[0]
            status = page if isinstance(page, int) else 200
            body = page if isinstance(page, bytes) else b""
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def links(*names):
    return "".join(f'<a href="{name}">x</a>' for name in names).encode()


ROOT = links("a.jpg", "deep/")
DEEP = links("b.jpg")


@pytest.mark.parametrize(
    "pages",
    [
        {"/": [503, 503, ROOT], "/deep": DEEP, "/a.jpg": b"1", "/deep/b.jpg": b"2"},
        {"/": ROOT, "/deep": [503, DEEP], "/a.jpg": b"1", "/deep/b.jpg": b"2"},
        {"/": ROOT, "/deep": DEEP, "/a.jpg": [502, b"1"], "/deep/b.jpg": [429, b"2"]},
    ],
    ids=["root", "subfolder", "sizes"],
)
def test_a_web_servers_listing_survives_faults_that_pass(pages):
    with web_of(pages) as url:
        assert {s.key: s.bytes for s in open_lake(url).list()} == {"a.jpg": 1, "deep/b.jpg": 1}


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ({"/deep": 503}, "deep"),
        ({"/deep": 403}, "deep"),
        ({"/deep/b.jpg": 500}, r"deep/b\.jpg"),
    ],
)
def test_a_web_servers_listing_is_whole_or_an_error(broken, named):
    pages = {"/": ROOT, "/deep": DEEP, "/a.jpg": b"1", "/deep/b.jpg": b"2"}
    with web_of(pages | broken) as url, pytest.raises(LakeError, match=f"cannot list .*{named}"):
        list(open_lake(url).list())


@pytest.mark.parametrize("gone", ["/deep", "/deep/b.jpg"])
def test_links_to_nothing_are_left_out_of_a_listing(gone):
    pages = {"/": ROOT, "/deep": DEEP, "/a.jpg": b"1", "/deep/b.jpg": b"2"}
    with web_of(pages | {gone: 404}) as url:
        assert [s.key for s in open_lake(url).list()] == ["a.jpg"]


def test_a_local_folder_that_vanishes_while_listed_is_an_error(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"1")
    listing = open_lake(str(tmp_path)).list()
    next(listing)
    for name in ("a", "b"):
        (tmp_path / name / "1.jpg").unlink()
        (tmp_path / name).rmdir()
    with pytest.raises(LakeError, match="cannot list"):
        list(listing)
