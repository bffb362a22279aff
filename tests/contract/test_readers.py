"""The contract of every reader."""

import io
import pickle
import tarfile
from typing import get_args

import fsspec
import pytest
from pydantic import TypeAdapter

from samseg.errors import LakeError
from samseg.readers import Reader, fetch_many
from samseg.types import RawImage

KINDS = {k.model_fields["kind"].default: k for k in get_args(get_args(Reader)[0])}


class Lake:
    """A lake in the layout of one kind of reader."""

    def __init__(self, kind, root):
        self.kind, self.root = kind, root
        self.fs = fsspec.core.url_to_fs(root)[0]

    def add(self, name, images):
        """Add images (name -> bytes) as one tar, or as one source each in a folder."""
        if self.kind == "folder":
            for image, payload in images.items():
                self._write(f"{name}/{image}", payload)
        else:
            sink = io.BytesIO()
            with tarfile.open(fileobj=sink, mode="w") as tar:
                for image, payload in images.items():
                    info = tarfile.TarInfo(image)
                    info.size = len(payload)
                    tar.addfile(info, io.BytesIO(payload))
            self._write(f"{name}.tar", sink.getvalue())

    def _write(self, key, payload):
        path = f"{self.root}/{key}"
        self.fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        with fsspec.open(path, "wb") as f:
            f.write(payload)

    @property
    def reader(self):
        config = {"kind": self.kind, "uri": self.root}
        return TypeAdapter(Reader).validate_python(config)


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path):
    if request.param == "local":
        (tmp_path / "lake").mkdir()
        yield str(tmp_path / "lake")
    else:
        yield "memory://contract/lake"
        fs = fsspec.filesystem("memory")
        if fs.exists("/contract"):
            fs.rm("/contract", recursive=True)


@pytest.fixture(params=KINDS)
def lake(request, root):
    made = Lake(request.param, root)
    made.add("north", {"a.jpg": b"1", "b.jpg": b"22"})
    made.add("south", {"a.jpg": b"333", "ç d.png": b""})
    return made


def read_all(reader, shards):
    return [e for shard in shards for e in reader.read(shard)]


def known_of(*plans):
    return {s.key: s.etag for plan in plans for shard in plan.shards for s in shard.sources}


def test_every_image_is_read_once_in_a_stable_order(lake):
    shards = list(lake.reader.plan({}).shards)
    got = read_all(lake.reader, shards)
    assert [e.payload for e in got] == [b"1", b"22", b"333", b""]
    assert got == read_all(lake.reader, lake.reader.plan({}).shards)
    assert all(isinstance(e, RawImage) for e in got)
    assert len({e.image_id for e in got}) == len({e.uri for e in got}) == 4


def test_ids_depend_on_keys_not_on_the_uri_of_the_lake(lake, tmp_path):
    (tmp_path / "moved").mkdir()
    moved = Lake(lake.kind, str(tmp_path / "moved"))
    moved.add("north", {"a.jpg": b"1", "b.jpg": b"22"})
    moved.add("south", {"a.jpg": b"333", "ç d.png": b""})
    ids = [
        [e.image_id for e in read_all(at.reader, at.reader.plan({}).shards)] for at in (lake, moved)
    ]
    assert ids[0] == ids[1]


def test_planning_again_yields_no_shards(lake):
    first = lake.reader.plan({})
    again = lake.reader.plan(known_of(first))
    assert list(again.shards) == [] and again.changed == 0
    assert again.known == sum(len(s.sources) for s in first.shards)


def test_planning_a_grown_lake_yields_new_objects_only(lake):
    first = lake.reader.plan({})
    lake.add("east", {"new.jpg": b"4444"})
    second = lake.reader.plan(known_of(first))
    assert [e.payload for e in read_all(lake.reader, second.shards)] == [b"4444"]
    assert not {s.id for s in first.shards} & {s.id for s in second.shards}


def test_images_per_source_agrees_with_the_shards(lake):
    for shard in lake.reader.plan({}).shards:
        if lake.reader.images_per_source is None:
            assert shard.images is None
        else:
            assert shard.images == len(shard.sources) * lake.reader.images_per_source
            assert len(list(lake.reader.read(shard))) == shard.images


def test_images_can_be_fetched_again(lake):
    got = {e.uri: e.payload for e in read_all(lake.reader, lake.reader.plan({}).shards)}
    assert dict(fetch_many(got)) == got


def test_an_image_that_is_too_large_is_an_error_value_in_order(lake):
    (*_, last) = lake.reader.plan({}).shards
    statuses = [
        e.payload if isinstance(e.payload, bytes) else e.payload.status
        for e in lake.reader.read(last, max_bytes=2)
    ]
    assert statuses[-2:] == ["too_large", b""]


def test_readers_and_shards_can_be_pickled(lake):
    reader, shards = pickle.loads(pickle.dumps((lake.reader, list(lake.reader.plan({}).shards))))
    assert len(read_all(reader, shards)) == 4


def test_an_empty_lake_is_an_error(lake, tmp_path):
    (tmp_path / "empty").mkdir()
    reader = lake.reader.model_copy(update={"uri": str(tmp_path / "empty")})
    with pytest.raises(LakeError, match=r"reader\.uri"):
        reader.plan({})


def test_images_that_changed_since_they_were_planned_are_noted(lake):
    shards = list(lake.reader.plan({}).shards)
    assert {image.note for image in read_all(lake.reader, shards)} == {""}
    lake.add("south", {"a.jpg": b"4" * 20_000})  # more than the padding of a tar
    notes = {image.key: image.note for image in read_all(lake.reader, shards)}
    changed = {key for key, note in notes.items() if note == "changed_since_plan"}
    assert changed == {key for key in notes if key.startswith("south") and key.endswith("a.jpg")}
    assert set(notes.values()) == {"", "changed_since_plan"}
