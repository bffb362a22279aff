"""Ranges of tars: together they hold every image once, whatever the tar looks like."""

import gzip
import io
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samseg.readers import WebDataset
from samseg.readers.tar_ranges import ranges
from samseg.stages.plan import plan
from samseg.stages.status import status_of
from tests.unit.readers.test_webdataset import IMAGES, special, tar_of
from tests.unit.stages.test_retries import Lake, png

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
IN_A_TAR = tar_of(IMAGES)
ODD = ["BZh91AY.jpg", "\x1f\x8b.jpg", "\x28\xb5\x2f\xfd.jpg", "ustar.jpg", "é\u4e16.jpg", "a~2.jpg"]


members = st.one_of(
    st.tuples(st.sampled_from(["jpg", "json", "tar"]), st.integers(0, 3000), st.booleans()),
    st.just(("tar in a tar", 0, False)),
    st.just(("folder", 0, False)),
    st.just(("blank", 0, False)),
)
rarely = st.sampled_from(["", "", "", "", "link", "twice", "global", "cut", "gzip"])


def archive(drawn, prefix: str, format: int, odd: list[str]) -> bytes:
    """Write members as one archive: images, other files, folders, zeros that look like an end."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=format) as tar:
        for i, (kind, size, long_name) in enumerate(drawn):
            if kind == "folder":
                info = tarfile.TarInfo(f"folder{i}.jpg")
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
                continue
            payload = bytes((i * 31 + j) % 251 for j in range(size))
            if kind == "tar in a tar":
                kind, payload = "tar", IN_A_TAR
            if kind == "blank":
                kind, payload = "jpg", bytes(2048)
            name = (
                f"{'long/' * 40 if long_name and format != tarfile.USTAR_FORMAT else ''}{i}.{kind}"
            )
            info = tarfile.TarInfo(odd.pop() if odd and kind == "jpg" and size % 3 == 0 else name)
            info.size = len(payload)
            tar.addfile(info, io.BytesIO(payload))
    return sink.getvalue()


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.lists(members, max_size=12), min_size=1, max_size=3),
    st.sampled_from(FORMATS),
    st.integers(0, 2),
    st.integers(1, 12_000),
    rarely,
)
def test_every_image_is_in_one_range(tmp_path, archives, format, padding, most, special_form):
    odd = list(ODD)
    parts = [archive(drawn, f"{n}-", format, odd) for n, drawn in enumerate(archives)]
    whole = b"".join(part + bytes(512 * padding) for part in parts)
    if special_form == "link":
        whole += tar_of([special("z.jpg", tarfile.LNKTYPE, "0.jpg")])
    elif special_form == "twice":
        whole += tar_of([("t.jpg", b"1"), ("t.jpg", b"2")])
    elif special_form == "global":
        sink = io.BytesIO()
        headers = {"comment": "for all"}
        with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers):
            pass
        whole = sink.getvalue() + whole
    elif special_form == "cut":
        whole = whole[: len(whole) * 2 // 3]
    elif special_form == "gzip":
        whole = gzip.compress(whole)
    (tmp_path / "t.tar").write_bytes(whole)
    want, _ = read(WebDataset(uri=str(tmp_path), bytes_per_shard=1 << 30))
    got, shards = read(WebDataset(uri=str(tmp_path), bytes_per_shard=most))
    assert got == want
    assert len({shard.id for shard in shards}) == len(shards)
    if special_form in ("link", "twice", "global", "gzip") or "truncated" in str(want[-1:]):
        assert len(shards) == 1


def read(reader):
    shards = list(reader.plan({}).shards)
    images = [raw for shard in shards for raw in reader.read(shard)]
    return [(raw.key, raw.uri, str(raw.payload)) for raw in images], shards


def test_how_a_tar_is_divided(tmp_path):
    """A range ends with the image that reaches the bytes of a shard."""
    entries = [entry for i in range(30) for entry in ((f"{i}.jpg", bytes(900)), (f"{i}.json", b""))]
    whole = tar_of(entries)
    found = ranges(io.BytesIO(whole), lambda name: name.endswith(".jpg"), len(whole), 10_000)
    assert [stop for _, stop in found] == [start for start, _ in found[1:]] + [len(whole)]
    assert found[0][0] == 0 and all(10_000 <= b - a <= 12_048 for a, b in found[:-1])
    assert ranges(io.BytesIO(whole), lambda name: False, len(whole), 1) == []
    assert ranges(io.BytesIO(b""), lambda name: True, 0, 1) == []


@pytest.fixture
def lake(tmp_path):
    """A lake of one tar of twelve images in four ranges; see `tests.unit.stages.test_retries`."""
    made = Lake(tmp_path, tars=True)
    made.write("a.tar", tar_of([(f"{i:02}.png", png(i)) for i in range(12)]))
    made.reader = WebDataset(uri=str(made.folder), bytes_per_shard=2500)
    return made


def test_the_ranges_of_a_tar_are_planned_in_one_object(lake, monkeypatch):
    """Else another run could take the tar for planned when only some of its ranges are."""
    lake.write("b.tar", tar_of([("0.png", png(99))]))
    monkeypatch.setattr("samseg.stages.plan._ROWS", 3)
    plan(lake.output, lake.reader)
    sizes = [lake.output.plan(n).num_rows for n in lake.output.plan_numbers()]
    assert sizes == [4, 1]


KEYS = [f"a.tar/{i:02}.png" for i in range(12)]


def test_every_range_is_a_commit_and_failed_images_are_labelled_again(lake):
    found = plan(lake.output, lake.reader)
    assert (found.sources, found.shards) == (1, 4)
    assert len({s.start for shard in lake.output.planned() for s in shard.sources}) == 4
    assert lake.label({KEYS[1]: "crashed", KEYS[10]: "timeout"}) == 12
    assert len(lake.output.committed()) == 4
    assert lake.night({KEYS[10]: "timeout"}) == 2, "the failed ones"
    assert lake.statuses() == dict.fromkeys(KEYS, "ok") | {KEYS[10]: "timeout"}
    assert lake.night() == 0 and plan(lake.output, lake.reader).known == 1
    status = status_of(lake.output)
    assert (status.sources, status.complete, status.failed) == (1, True, 1)


def test_a_tar_that_goes_away_and_comes_back(lake):
    """Every range has a row of its own, and the ranges that were labelled stay as they are."""
    lake.write("b.tar", tar_of([("0.png", png(99))]))
    plan(lake.output, lake.reader)
    away = (lake.folder / "a.tar").rename(lake.folder.parent / "a.tar")
    lake.label()
    starts = [s.start for shard in lake.output.planned() for s in shard.sources if s.key == "a.tar"]
    assert lake.statuses() == {f"a.tar#{start}": "unreadable" for start in starts} | {
        "b.tar/0.png": "ok"
    }
    away.rename(lake.folder / "a.tar")
    assert lake.night() == 12
    assert lake.statuses() == dict.fromkeys([*KEYS, "b.tar/0.png"], "ok")
    assert lake.night() == 0 and status_of(lake.output).complete


def test_a_tar_that_is_cut_after_it_was_planned(lake):
    plan(lake.output, lake.reader)
    whole = (lake.folder / "a.tar").read_bytes()
    starts = [s.start for shard in lake.output.planned() for s in shard.sources]
    lake.write("a.tar", whole[: starts[2]])
    lake.label()
    lost = {f"a.tar#{start}": "unreadable" for start in starts[2:]}
    assert lake.statuses() == dict.fromkeys(KEYS[:6], "ok") | lost
    lake.night(retried=("unreadable",))
    assert lake.statuses() == dict.fromkeys(KEYS[:6], "ok") | lost
