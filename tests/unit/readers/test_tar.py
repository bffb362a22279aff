"""Legal forms of tars, and tars made to cost without bound."""

import bz2
import gzip
import io
import lzma
import tarfile
import tracemalloc

import pyarrow as pa
import pytest

from samseg.errors import ImageError, ShardError
from samseg.readers import decompression, fetch, tar
from samseg.readers.webdataset import WebDataset
from tests.unit.readers.test_webdataset import IMAGES, special, tar_of

HALVES = tar_of(IMAGES[:3]), tar_of(IMAGES[3:])
ZSTD = pa.Codec("zstd")
GZIP_WITH_NAME = b"\x1f\x8b\x08\x0c" + bytes(6) + b"\x02\x00ab" + b"name\0"  # and a field
COMPRESSED = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tgz": lambda b: GZIP_WITH_NAME + gzip.compress(b)[10:],
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
    ".txz": lambda b: lzma.compress(b, format=lzma.FORMAT_ALONE),
    ".tar.zst": lambda b: ZSTD.compress(b, asbytes=True),
}


def read(tmp_path, name, payload, **settings):
    (tmp_path / name).write_bytes(payload)
    reader = WebDataset(uri=str(tmp_path), **settings)
    (shard,) = reader.plan({}).shards
    images = list(reader.read(shard))
    for image in images:
        if isinstance(image.payload, bytes):
            assert fetch(image.uri) == image.payload
    return {image.key.removeprefix(f"{name}/"): image.payload for image in images}


@pytest.mark.parametrize("suffix", COMPRESSED)
@pytest.mark.parametrize("pad", [0, 512, 5120])
def test_archives_one_after_the_other_are_read_to_the_end(tmp_path, suffix, pad):
    whole = HALVES[0] + bytes(pad) + HALVES[1] + bytes(pad)
    assert read(tmp_path, f"t{suffix}", COMPRESSED[suffix](whole)) == dict(IMAGES)


@pytest.mark.parametrize("suffix", [s for s in COMPRESSED if s not in (".tar", ".txz")])
@pytest.mark.parametrize("cut", [1, 100, 512, 10_000])
def test_compressed_members_and_frames_are_read_to_the_end(tmp_path, suffix, cut):
    whole = HALVES[0] + HALVES[1]
    parts = COMPRESSED[suffix](whole[:cut]) + COMPRESSED[suffix](whole[cut:])
    assert read(tmp_path, f"t{suffix}", parts) == dict(IMAGES)


@pytest.mark.parametrize("suffix", COMPRESSED)
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_cut_archive_is_an_error_in_every_form(tmp_path, suffix, share):
    whole = COMPRESSED[suffix](HALVES[0][: 512 * 12])
    found = read(tmp_path, f"t{suffix}", whole[: int(share * len(whole))])
    assert found.popitem()[1].status == "unreadable"


def test_what_follows_an_archive_and_is_no_tar_is_an_error(tmp_path):
    found = read(tmp_path, "t.tar", HALVES[0] + b"no header " * 60)
    assert {k: v for k, v in found.items() if isinstance(v, bytes)} == dict(IMAGES[:3])
    assert "3 images before the damage" in found["t.tar#truncated"].message


def test_links_lead_to_members_or_become_rows(tmp_path):
    entries = [
        special("a/before.jpg", tarfile.SYMTYPE, "../b/one.jpg"),
        ("b/one.jpg", b"1"),
        ("./b/blob", b"2"),
        special("hard.jpg", tarfile.LNKTYPE, "b/one.jpg"),
        special("annex.jpg", tarfile.SYMTYPE, "b/blob"),
        special("chain.jpg", tarfile.SYMTYPE, "a/before.jpg"),
        special("loop1.jpg", tarfile.SYMTYPE, "loop2.jpg"),
        special("loop2.jpg", tarfile.SYMTYPE, "loop1.jpg"),
        special("out.jpg", tarfile.SYMTYPE, "../../etc/passwd"),
        special("notes.txt", tarfile.SYMTYPE, "b/one.jpg"),
    ]
    found = read(tmp_path, "t.tar", tar_of(entries))
    failed = {k: v.message for k, v in found.items() if isinstance(v, ImageError)}
    assert {k: v for k, v in found.items() if k not in failed} == {
        "b/one.jpg": b"1", "a/before.jpg": b"1", "hard.jpg": b"1",
        "chain.jpg": b"1", "annex.jpg": b"2",
    }  # fmt: skip
    assert set(failed) == {"loop1.jpg", "loop2.jpg", "out.jpg"}
    assert "a link to ../../etc/passwd, which is no file in the tar" in failed["out.jpg"]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([("in.tar", HALVES[0]), ("in2.tar", b"")], "holds 2 .tar; tars inside a tar are not read"),
        ([("a.json", b"{}"), ("b", b"")], "holds 1 .json, 1 without extension"),
        ([], "holds no files"),
    ],
)
def test_a_tar_without_images_says_so(tmp_path, entries, said):
    found = read(tmp_path, "t.tar", tar_of(entries))
    (reason,) = found.values()
    assert reason.status == "undecodable" and said in reason.message


def test_one_name_many_times_counts_up():
    counts = {}
    names = [tar._unique("a.jpg", counts) for _ in range(20_000)]
    assert names[-1] == "a.jpg~20000" and len({*names}) == 20_000


def bomb_of(kind):
    """A tar of one header that announces 3 GiB of the given kind."""
    header = special("x.jpg", kind)
    header.size = 3 << 30
    return header.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)


KINDS = [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK]


@pytest.mark.parametrize("kind", KINDS)
def test_headers_are_not_read_without_bound(kind):
    tracemalloc.start()
    with pytest.raises(ShardError, match="headers of more than 1,048,576 bytes"):
        list(tar.members(io.BytesIO(bomb_of(kind)), lambda _: True, 1 << 20))
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_global_headers_are_bounded_together():
    sink = io.BytesIO()
    for i in range(40):
        header = tarfile.TarInfo.create_pax_global_header({f"k{i}": "v" * 30_000})
        sink.write(header)
    with pytest.raises(ShardError, match="headers of more than"):
        list(tar.members(io.BytesIO(sink.getvalue()), lambda _: True, 1 << 20))


def test_headers_within_headers_end():
    header = special("x", tarfile.GNUTYPE_LONGNAME)
    header.size = 1
    many = (header.tobuf(tarfile.GNU_FORMAT) + b"x" + bytes(511)) * 5000
    with pytest.raises(ShardError):
        list(tar.members(io.BytesIO(many), lambda _: True, 1 << 20))


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"])
def test_decompressed_bytes_are_bounded(monkeypatch, suffix):
    monkeypatch.setattr(decompression, "_ALWAYS_ALLOWED", 1 << 20)
    bomb = COMPRESSED[suffix](bytes(64 << 20))
    with pytest.raises(ShardError, match="compressed bytes expand to more than"):
        list(tar.members(io.BytesIO(bomb), lambda _: True, 1 << 20))


def test_members_are_bounded(monkeypatch):
    monkeypatch.setattr(tar, "_MAX_MEMBERS", 4)
    found = tar.members(io.BytesIO(HALVES[0] + HALVES[1]), lambda _: True, 1 << 20)
    assert [next(found)[0] for _ in range(4)] == [name for name, _ in IMAGES[:4]]
    with pytest.raises(ShardError, match="more than 4 members"):
        next(found)
