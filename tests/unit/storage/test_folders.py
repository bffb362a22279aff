# Names of files are bytes here, which pathlib does not take.
# ruff: noqa: PTH103, PTH118, PTH119, PTH123
"""Local lakes: links, names that are no text, and what cannot be listed."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samseg.readers import Folder, fetch
from samseg.storage import open_lake
from samseg.storage.folders import bytes_of, text_of


def listed(root):
    skipped = {}
    found = {s.key: s for s in open_lake(str(root)).list(skipped=skipped.__setitem__)}
    return found, skipped


@pytest.fixture
def lake(tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/a.jpg").write_bytes(b"a")
    return tmp_path / "lake"


def test_links_to_files_and_folders_are_followed(lake, tmp_path):
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    (tmp_path / "elsewhere/deep/b.jpg").write_bytes(b"bb")
    (lake / "file.jpg").symlink_to(tmp_path / "elsewhere/deep/b.jpg")
    (lake / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(lake)
    for root in (lake, tmp_path / "link"):
        found, skipped = listed(root)
        assert {key: s.bytes for key, s in found.items()} == {
            "a.jpg": 1, "file.jpg": 2, "folder/deep/b.jpg": 2,
        }  # fmt: skip
        assert skipped == {}
    reader = Folder(uri=str(lake))
    (shard,) = reader.plan({}).shards
    assert [image.payload for image in reader.read(shard)] == [b"a", b"bb", b"bb"]


def test_links_in_a_circle_end(lake, tmp_path):
    (lake / "sub").mkdir()
    (lake / "self").symlink_to(lake)
    (lake / "sub/up").symlink_to(lake)
    (lake / "out").symlink_to(tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/back").symlink_to(lake)
    (tmp_path / "out/b.jpg").write_bytes(b"b")
    assert set(listed(lake)[0]) == {"a.jpg", "out/b.jpg"}


NAMES = [
    *(b"\xff\xfe.jpg", b"d\xff/in.jpg", b"\\xff.jpg", b"\\xff\\x5c.jpg", b"back\\slash.jpg"),
    *("ü.jpg".encode(), b"n\nl.jpg", b"h#1?%20[a]*{b}.jpg", b"\xed\xa0\x80.jpg", b"a::b:.jpg"),
]


def test_every_name_is_listed_read_and_fetched_by_its_uri(lake):
    root = os.fsencode(lake)
    os.makedirs(root + b"/d\xff")
    for name in NAMES:
        with open(os.path.join(root, name), "wb") as file:
            file.write(name)
    reader = Folder(uri=str(lake))
    (shard,) = reader.plan({}).shards
    images = [image for image in reader.read(shard) if image.key != "a.jpg"]
    assert sorted(image.payload for image in images) == sorted(NAMES)
    for image in images:
        image.key.encode()
        assert fetch(image.uri) == image.payload
        assert reader.plan({s.key: s.etag for s in shard.sources}).known == len(NAMES) + 1


PATHS = st.lists(
    st.sampled_from([b"\\", b"x", b"5c", b"ff", b"8", b"\xff", b"\x80", "ü".encode(), b"/", b"a"]),
    max_size=12,
).map(b"".join)


@given(st.binary(max_size=12) | PATHS)
def test_names_are_escaped_reversibly(path):
    key = text_of(path)
    assert bytes_of(key) == path
    assert key.encode() == path or b"\\x" in key.encode()


def test_what_cannot_be_listed_is_named(lake, monkeypatch):
    for name in ("locked", "locked/deep", ".hidden"):
        (lake / name).mkdir()
    (lake / "gone.jpg").symlink_to(lake / "nothing")
    (lake / "gone.txt").symlink_to(lake / "nothing")
    os.mkfifo(lake / "pipe.jpg")
    scandir = os.scandir

    def refusing(folder):
        if os.path.basename(folder) in (b"locked", b".hidden"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    found = Folder(uri=str(lake)).plan({})
    assert [s.key for shard in found.shards for s in shard.sources] == ["a.jpg"]
    assert found.skipped == {
        "locked/": "Permission denied",
        "gone.jpg": "a link to nothing",
        "pipe.jpg": "a FIFO, not a file",
    }
    excluding = Folder(uri=str(lake), exclude=("locked/*", "gone*", "pipe*"))
    assert excluding.plan({}).skipped == {}
