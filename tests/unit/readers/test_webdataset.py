"""The tar reader: which members are read, and damaged, truncated and missing tars."""

import io
import tarfile

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samseg.errors import ImageError, LakeError, OutageError, ShardError, StorageError
from samseg.readers.lookup import fetch, fetch_many
from samseg.readers.tar import SizedStream, members
from samseg.readers.webdataset import WebDataset
from samseg.storage import LocalStorage, Opener
from samseg.types import Shard, Source


def tar_of(entries, mode="w", format=tarfile.PAX_FORMAT):
    """Make a tar of (name, payload) pairs and of complete TarInfos."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode=mode, format=format) as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                tar.addfile(info, io.BytesIO(entry[1]))
    return sink.getvalue()


def special(name, type, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type, target
    return info


def planned(tmp_path, **tars):
    for name, payload in tars.items():
        (tmp_path / f"{name}.tar").write_bytes(payload)
    reader = WebDataset(uri=str(tmp_path))
    return reader, list(reader.plan({}).shards)


IMAGES = [(f"{i:03d}.jpg", bytes([65 + i]) * 700 * (i + 1)) for i in range(6)]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_images_are_read_in_order_and_other_members_skipped(tmp_path, mode, format):
    long = "d/" * 60 + "long name.png"  # more than one header in every format but ustar
    if format == tarfile.USTAR_FORMAT:
        long = "d/" * 40 + "long.png"
    entries = [
        *IMAGES[:2],
        special("dir", tarfile.DIRTYPE),
        ("000.json", b"{}"),
        special("soft.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        special("hard.jpg", tarfile.LNKTYPE, "000.jpg"),
        special("fifo.jpg", tarfile.FIFOTYPE),
        special("device.jpg", tarfile.CHRTYPE),
        ("._000.jpg", b"resource fork"),
        ("./dot/ok.JPG", b"1"),
        ("../../up.jpg", b"2"),
        ("/etc/abs.jpg", b"3"),
        (long, b"4"),
        ("empty.jpg", b""),
    ]
    reader, (shard,) = planned(tmp_path, t=tar_of(entries, mode, format))
    assert shard.images is None
    images = list(reader.read(shard))
    reasons = {e.key: e.payload.message for e in images if isinstance(e.payload, ImageError)}
    assert reasons == {
        "t.tar/fifo.jpg": "a device or FIFO, not a file",
        "t.tar/device.jpg": "a device or FIFO, not a file",
        "t.tar/soft.jpg": "a link to /etc/passwd, which is no file in the tar",
    }
    got = [(e.key, e.payload) for e in images if e.key not in reasons]
    assert got == [
        ("t.tar/000.jpg", IMAGES[0][1]),
        ("t.tar/001.jpg", IMAGES[1][1]),
        ("t.tar/./dot/ok.JPG", b"1"),
        ("t.tar/../../up.jpg", b"2"),
        ("t.tar//etc/abs.jpg", b"3"),
        (f"t.tar/{long}", b"4"),
        ("t.tar/empty.jpg", b""),
        ("t.tar/hard.jpg", IMAGES[0][1]),
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.tar"]


def test_members_by_pattern(tmp_path):
    tar = tar_of([("1.jpg", b"a"), ("1.seg.png", b"b"), ("2.JPEG", b"c"), ("3.dat", b"d")])
    reader, (shard,) = planned(tmp_path, t=tar)
    picky = WebDataset(uri=str(tmp_path), include=("*.j*", "*.dat"), exclude=("2*",))
    assert [e.payload for e in picky.read(shard)] == [b"a", b"d"]
    assert len(list(reader.read(shard))) == 3


def test_duplicate_and_undecodable_names_become_unique_utf8(tmp_path):
    tar = tar_of(
        [("a.jpg", b"1"), ("a.jpg", b"2"), ("ü.jpg", b"3"), ("a.jpg", b"4"), ("\udcff.jpg", b"5")],
        format=tarfile.GNU_FORMAT,
    )
    reader, (shard,) = planned(tmp_path, t=tar)
    got = {e.key: e for e in reader.read(shard)}
    assert list(got) == [
        "t.tar/a.jpg", "t.tar/a.jpg~2", "t.tar/ü.jpg", "t.tar/a.jpg~3", "t.tar/\\xff.jpg",
    ]  # fmt: skip
    assert len({e.image_id for e in got.values()}) == 5
    for e in got.values():
        e.key.encode()
        assert fetch(e.uri) == e.payload


def test_the_uri_opens_with_fsspec(tmp_path):
    reader, (shard,) = planned(tmp_path, t=tar_of([*IMAGES, ("./ü x#%20.jpg", b"9")]))
    for e in reader.read(shard):
        with fsspec.open(e.uri) as f:
            assert f.read() == e.payload


def test_large_members_are_not_read(tmp_path):
    reader, (shard,) = planned(tmp_path, t=tar_of(IMAGES))
    got = list(reader.read(shard, max_bytes=1500))
    assert [isinstance(e.payload, bytes) for e in got] == [True] * 2 + [False] * 4
    assert got[-1].payload.status == "too_large"


WHOLE = tar_of(IMAGES)


def _ends():
    """Return the end offset of each payload in `WHOLE`."""
    with tarfile.open(fileobj=io.BytesIO(WHOLE)) as tar:
        return [m.offset_data + m.size for m in tar]


@pytest.mark.parametrize(
    "cut",
    [0, 1, 100, 511, 512, 513, 700, _ends()[0], _ends()[2] - 1, _ends()[2] + 300, _ends()[-1]],
)
def test_a_truncated_tar_yields_its_complete_images_and_an_error(tmp_path, cut):
    reader, (shard,) = planned(tmp_path, t=WHOLE[:cut])
    got = list(reader.read(shard))
    held = sum(end <= cut for end in _ends())
    assert [e.payload for e in got[:-1]] == [p for _, p in IMAGES[:held]]
    last = got[-1]
    assert last.key == "t.tar#truncated" and last.payload.status == "unreadable"
    assert f"{held} images before the damage were read" in last.payload.message


def test_truncation_between_two_members_is_detected(tmp_path):
    with tarfile.open(fileobj=io.BytesIO(WHOLE)) as tar:
        third = tar.getmembers()[3].offset
    reader, (shard,) = planned(tmp_path, t=WHOLE[:third])
    got = list(reader.read(shard))
    assert [e.payload for e in got[:-1]] == [p for _, p in IMAGES[:3]]
    assert got[-1].key == "t.tar#truncated" and "empty header" in got[-1].payload.message


def test_a_damaged_header_is_an_error_not_the_end(tmp_path):
    with tarfile.open(fileobj=io.BytesIO(WHOLE)) as tar:
        at = tar.getmembers()[2].offset
    damaged = WHOLE[:at] + b"\xff" * 20 + WHOLE[at + 20 :]
    reader, (shard,) = planned(tmp_path, t=damaged)
    got = list(reader.read(shard))
    assert [e.payload for e in got[:2]] == [p for _, p in IMAGES[:2]]
    assert got[2].key == "t.tar#truncated" and len(got) == 3


@pytest.mark.parametrize(
    "payload", [b"<html>not a tar</html>", b"\x1f\x8b broken gzip" * 9, b"x" * 5000]
)
def test_a_file_that_is_no_tar_is_one_error(tmp_path, payload):
    reader, (shard,) = planned(tmp_path, t=payload)
    (only,) = reader.read(shard)
    assert only.key == "t.tar#truncated" and "0 images" in only.payload.message


def test_a_missing_tar_of_a_lake_that_answers_is_one_error(tmp_path):
    reader, (shard, _) = planned(tmp_path, t=WHOLE, u=WHOLE)
    (tmp_path / "t.tar").unlink()
    (only,) = reader.read(shard)
    assert only.key == "t.tar" and only.payload.status == "unreadable"
    assert "the lake lists other objects" in only.payload.message


@pytest.mark.parametrize("gone", ["tar", "folder"])
def test_an_empty_lake_is_an_outage(tmp_path, gone):
    reader, (shard,) = planned(tmp_path, t=WHOLE)
    (tmp_path / "t.tar").unlink()
    if gone == "folder":
        tmp_path.rmdir()
    with pytest.raises(OutageError):
        list(reader.read(shard))


def test_a_dropped_connection_is_a_storage_error(tmp_path, monkeypatch):
    """Fewer bytes than the tar has: the shard is retried, not committed."""
    (tmp_path / "t.tar").write_bytes(WHOLE)
    shard = Shard.of([Source("t.tar", f"{tmp_path}/t.tar", "1", len(WHOLE))], None)
    cut = lambda storage, key: io.BytesIO(WHOLE[:2000])  # noqa: E731
    monkeypatch.setattr(LocalStorage, "stream", cut)
    with pytest.raises(StorageError, match=f"ended after 2000 of {len(WHOLE)} bytes"):
        list(WebDataset(uri=str(tmp_path)).read(shard))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["w", "w:gz"]),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4),
    st.floats(0, 1),
)
def test_damage_raises_only_shard_errors(mode, changes, cut):
    payload = bytearray(tar_of(IMAGES, mode, tarfile.GNU_FORMAT))
    for where, value in changes:
        payload[int(where * len(payload))] = value
    payload = payload[: int(min(1, cut * 1.5) * len(payload))]
    names = []
    try:
        stream = SizedStream(io.BytesIO(bytes(payload)), len(payload), "t")
        for name, found in members(stream, lambda _: True, 1 << 20):
            names.append(name)
            assert isinstance(found, bytes | ImageError)
    except ShardError as e:
        assert "damaged or truncated" in str(e)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("{tmp}", ["a.tar", "b.tgz", "sub/c.tar.gz"]),
        ("{tmp}/a.tar", ["a.tar"]),
        ("{tmp}/*.tgz", ["b.tgz"]),
        ("{tmp}/sub/c*", ["c.tar.gz"]),
        ("{tmp}/s*/c*", ["sub/c.tar.gz"]),
        ("file://{tmp}/a*", ["a.tar"]),
    ],
)
def test_a_folder_one_tar_or_a_pattern(tmp_path, uri, expected):
    (tmp_path / "sub").mkdir()
    for name, mode in [("a.tar", "w"), ("b.tgz", "w:gz"), ("sub/c.tar.gz", "w:gz"), ("n.txt", "w")]:
        (tmp_path / name).write_bytes(tar_of(IMAGES[:1], mode))
    reader = WebDataset(uri=uri.format(tmp=tmp_path))
    shards = list(reader.plan({}).shards)
    assert [s.sources[0].key for s in shards] == expected
    assert all(len(list(reader.read(s))) == 1 for s in shards)


@pytest.mark.parametrize("uri", ["{tmp}/a[1]?.tar", "{tmp}/a[[]1]*.tar"])
def test_one_tar_with_the_characters_of_patterns(tmp_path, uri):
    for name in ("a[1]?.tar", "a1x.tar"):
        (tmp_path / name).write_bytes(tar_of(IMAGES[:1]))
    (shard,) = WebDataset(uri=uri.format(tmp=tmp_path)).plan({}).shards
    assert [s.key for s in shard.sources] == ["a[1]?.tar"]


def test_a_folder_without_tars_is_reported(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"1")
    with pytest.raises(LakeError, match=r"no tars below .*\*\.tar.*found 1 other objects"):
        WebDataset(uri=str(tmp_path)).plan({})


def test_fetch_many_opens_each_tar_once(tmp_path, monkeypatch):
    reader, shards = planned(tmp_path, t=WHOLE, u=tar_of(IMAGES[3:], "w:gz"))
    (tmp_path / "loose.jpg").write_bytes(b"loose")
    wanted = {e.uri: e.payload for shard in shards for e in reader.read(shard)}
    wanted[f"{tmp_path}/loose.jpg"] = b"loose"
    opened = []

    opens = Opener.open

    def counting(self, uri):
        opened.append(uri)
        return opens(self, uri)

    monkeypatch.setattr(Opener, "open", counting)
    uris = sorted(wanted, reverse=True)
    got = list(fetch_many([*uris, *uris]))
    assert dict(got) == wanted and len(got) == len(wanted)
    assert len(opened) == 3


def test_fetch_reports_the_reason(tmp_path):
    (tmp_path / "cut.tar").write_bytes(WHOLE[:3000])
    (tmp_path / "t.tar").write_bytes(WHOLE)
    cases = {
        f"{tmp_path}/none.jpg": "No such file",
        f"tar://none.jpg::file://{tmp_path}/t.tar": "no such image in the tar",
        f"tar://005.jpg::file://{tmp_path}/cut.tar": "truncated",
        f"tar://005.jpg::file://{tmp_path}/none.tar": "No such file",
        "nosuch://x": "nosuch",
    }
    for uri, payload in fetch_many(cases):
        assert isinstance(payload, ImageError) and cases[uri] in payload.message
    with pytest.raises(ImageError, match="No such file"):
        fetch(f"{tmp_path}/none.jpg")
