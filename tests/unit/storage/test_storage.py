import errno
import http.server
import os
import pickle
import tarfile
import threading
from pathlib import Path

import fsspec
import pytest

import samseg.storage.local
from samseg.errors import ConfigError, LakeError, NotFoundError, StorageError
from samseg.storage import (
    FsspecStorage,
    LocalStorage,
    ObjectStorage,
    open_lake,
    open_output,
    open_uri,
)

KEYS = ["a.txt", "deep/er/b.txt", "spaces and ünï/c#1%20?.txt"]


KINDS = {"object": ObjectStorage, "folder": LocalStorage}


@pytest.fixture(params=[*KINDS, "memory"])
def filled(request, tmp_path):
    if request.param == "memory":
        memory = fsspec.filesystem("memory")
        for key in KEYS:
            memory.pipe_file(f"/lake-{tmp_path.name}/{key}", key.encode())
        return FsspecStorage(f"memory://lake-{tmp_path.name}")
    for key in KEYS:
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(key)
    return KINDS[request.param](str(tmp_path))


def test_every_storage_lists_and_reads_alike(filled):
    found = {source.key: source for source in filled.list()}
    assert sorted(found) == sorted(KEYS)
    for key in KEYS:
        assert filled.get(key) == key.encode()
        assert found[key].bytes == len(key.encode())
        assert found[key].uri == filled.uri_of(key)
    assert [s.key for s in filled.list("deep")] == ["deep/er/b.txt"]
    assert list(filled.list("nowhere")) == []


def test_every_storage_streams_and_seeks(filled):
    with filled.stream("a.txt") as stream:
        assert stream.read(2) == b"a."
        stream.seek(0)
        assert stream.read() == b"a.txt"


def test_every_storage_names_a_missing_object(filled):
    with pytest.raises(NotFoundError, match=r"nope\.txt"):
        filled.get("nope.txt")


def test_storages_can_be_pickled(filled):
    assert pickle.loads(pickle.dumps(filled)).get("a.txt") == b"a.txt"


def test_put_new_never_overwrites(tmp_path):
    storage = open_output(str(tmp_path / "not" / "there"))
    assert storage.put_new("x/y", b"first") is True
    assert storage.put_new("x/y", b"second") is False
    assert storage.get("x/y") == b"first"
    assert storage.exists("x/y") and not storage.exists("x/z")
    assert storage.folders("") == {"x"}


def test_one_of_many_concurrent_creates_wins(tmp_path, race):
    storage = open_output(str(tmp_path))
    assert len(race(storage, "key")) == 1
    assert storage.put_new("key", b"late") is False


def test_a_new_output_lists_no_objects(tmp_path):
    storage = open_output(str(tmp_path / "fresh"))
    assert list(storage.list("images/")) == []
    assert storage.folders("nights") == set()


@pytest.mark.parametrize("uri", ["http://host/out", "memory://out", "hf://datasets/x"])
def test_an_output_must_have_an_atomic_create(uri):
    with pytest.raises(ConfigError, match="atomic create"):
        open_output(uri)


def test_a_missing_local_lake_is_named(tmp_path):
    with pytest.raises(LakeError, match=r"does not exist.*reader\.uri"):
        open_lake(str(tmp_path / "nope"))


def test_an_unknown_protocol_is_named():
    with pytest.raises(LakeError, match="nonsense"):
        open_lake("nonsense://x")


@pytest.fixture
def web(tmp_path):
    """A web server over a folder, with directory listings."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_web_server_that_lists_is_a_lake(web, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.jpg").write_bytes(b"12345")
    (tmp_path / "deep" / "b.jpg").write_bytes(b"678")
    lake = open_lake(web)
    found = {s.key: s.bytes for s in lake.list()}
    assert found == {"a.jpg": 5, "deep/b.jpg": 3}
    assert lake.get("deep/b.jpg") == b"678"


def test_links_of_a_web_page(web, tmp_path):
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    links = [
        *("a.jpg", "./b.jpg", f"{web}/photos/c.jpg", "deep/"),
        *("?C=N;O=D", "a.jpg?width=9", "d.jpg?sig=s3cr", "deep2/?sig=s3cr", "/photos/e.jpg?s3cr"),
        *("../", "../../", "/", "./", "#top", "/photos/", "/out.jpg", "../photos/a.jpg"),
    ]
    page = "".join(f'<a href="{link}">x</a>' for link in links)
    (tmp_path / "photos" / "index.html").write_text(page)
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "deep/f.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"1")
    skipped = {}
    found = [*open_lake(f"{web}/photos").list(skipped=skipped.__setitem__)]
    keys = [s.key for s in found if s.key.endswith(".jpg")]
    assert sorted(keys) == ["a.jpg", "b.jpg", "c.jpg", "deep/f.jpg"]
    assert set(skipped) == {"d.jpg", "deep2/", "e.jpg"}
    assert "a link with a query" in skipped["d.jpg"]
    assert "s3cr" not in f"{found}{skipped}"


def test_an_unreachable_web_server_is_named():
    with pytest.raises(LakeError, match=r"cannot list http://127\.0\.0\.1:9.*check the URL"):
        list(open_lake("http://127.0.0.1:9/photos").list())


def test_an_empty_root_is_named():
    with pytest.raises(LakeError, match="nothing exists at memory://no-such-lake"):
        list(open_lake("memory://no-such-lake").list())


def test_a_broken_link_does_not_end_a_listing(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "broken").symlink_to(tmp_path / "gone")
    assert "a.txt" in [s.key for s in open_lake(str(tmp_path)).list()]


def test_members_of_tars_open_by_uri(tmp_path):
    (tmp_path / "a.txt").write_text("inside")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(tmp_path / "a.txt", "dir/a.txt")
    with open_uri(f"tar://dir/a.txt::file://{tmp_path}/x.tar") as opened:
        assert opened.read() == b"inside"


def refusing(code):
    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.fixture(params=["links", "no links"])
def local(request, tmp_path, monkeypatch):
    """A local output, on a file system with or without hard links."""
    if request.param == "no links":
        monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    return open_output(str(tmp_path / "out"))


def test_a_local_commit_needs_no_hard_links(local, race):
    assert local.put_new("a/b", b"first") is True
    assert local.put_new("a/b", b"second") is False
    assert local.get("a/b") == b"first"
    assert len(race(local, "key")) == 1
    root = Path(local.uri.removeprefix("file://"))
    assert sorted(p.name for p in root.rglob("*")) == ["a", "b", "key"]


@pytest.mark.parametrize("key", ["", "a//b", "../out-of-it", "a/./b", "/etc/x"])
def test_a_local_commit_stays_below_its_root(local, key):
    with pytest.raises(StorageError, match="not a path below"):
        local.put_new(key, b"")


def test_a_file_system_without_atomic_create_is_refused_by_name(local, monkeypatch):
    monkeypatch.setattr(os, "link", refusing(errno.EOPNOTSUPP))
    monkeypatch.setattr(samseg.storage.local, "_rename_new", refusing(errno.EINVAL))
    with pytest.raises(StorageError, match=r"its file system \(\w+\) can neither link.*use a fol"):
        local.put_new("x/y", b"")
    root = Path(local.uri.removeprefix("file://"))
    assert [p.name for p in root.rglob("*") if p.is_file()] == []


def test_a_full_disk_is_named_and_leaves_nothing(local, monkeypatch):
    monkeypatch.setattr(os, "fsync", refusing(errno.ENOSPC))
    with pytest.raises(StorageError, match=r"cannot write .*x/y: .*No space left"):
        local.put_new("x/y", b"data")
    monkeypatch.undo()
    assert local.put_new("x/y", b"data") is True


def test_a_local_commit_is_on_the_disk_before_it_has_its_name(local, monkeypatch):
    flushed = []
    path = Path(local.uri.removeprefix("file://"), "x", "y")
    monkeypatch.setattr(os, "fsync", lambda f: flushed.append((f, path.exists())))
    assert local.put_new("x/y", b"data") is True
    assert [there for _, there in flushed] == [False, *[True] * (len(flushed) - 1)]
    assert len(flushed) == 4  # the file, and the folders x, out and what out is in
