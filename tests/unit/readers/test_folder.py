"""The folder reader: listing, grouping into shards, and failures of the store."""

import io
import threading

import pytest

from samseg.errors import ImageError, LakeError, NotFoundError, OutageError, StorageError
from samseg.readers import folder as module
from samseg.readers.folder import Folder
from samseg.storage import batch_of
from samseg.types import Shard, Source


def write(root, *keys, payload=b"x" * 10):
    for key in keys:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(payload)


def keys_of(planned):
    return [[s.key for s in shard.sources] for shard in planned.shards]


def known_of(*plans):
    return {s.key: s.etag for plan in plans for shard in plan.shards for s in shard.sources}


def test_lists_images_recursively_in_key_order(tmp_path):
    write(tmp_path, "b/two.PNG", "a.jpg", "b/c/drei größe.jpeg", "z.webp")
    write(tmp_path, "notes.txt", ".hidden.jpg", ".thumbs/t.jpg", "b/._a.jpg", "jpg")
    found = Folder(uri=str(tmp_path)).plan({})
    assert keys_of(found) == [["a.jpg", "b/c/drei größe.jpeg", "b/two.PNG", "z.webp"]]
    assert (found.known, found.changed, found.ignored) == (0, 0, 5)
    assert next(iter(found.shards)).images == 4


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (("*.png",), (), ["b.png", "old/c.png"]),
        (("*.jpg", "*.png"), ("old/*",), ["a.jpg", "b.png"]),
        (("*",), ("*.txt",), ["a.jpg", "b.png", "old/c.png", "sha256abc"]),
        (("old/?.png",), (), ["old/c.png"]),
    ],
)
def test_include_and_exclude(tmp_path, include, exclude, expected):
    write(tmp_path, "a.jpg", "b.png", "old/c.png", "sha256abc", "n.txt")
    found = Folder(uri=str(tmp_path), include=include, exclude=exclude).plan({})
    assert keys_of(found) == [expected]


def test_groups_by_count_and_by_bytes(tmp_path):
    write(tmp_path, *(f"{i}.jpg" for i in range(5)), payload=b"x" * 100)
    assert [len(g) for g in keys_of(Folder(uri=str(tmp_path), images_per_shard=2).plan({}))] == [
        2, 2, 1,
    ]  # fmt: skip
    by_bytes = Folder(uri=str(tmp_path), bytes_per_shard=250).plan({})
    assert [len(g) for g in keys_of(by_bytes)] == [2, 2, 1]
    tiny = Folder(uri=str(tmp_path), bytes_per_shard=1).plan({})
    assert [len(g) for g in keys_of(tiny)] == [1] * 5


def test_new_objects_never_change_existing_shards(tmp_path):
    reader = Folder(uri=str(tmp_path), images_per_shard=2)
    write(tmp_path, "b.jpg", "d.jpg", "f.jpg")
    first = reader.plan({})
    assert list(reader.plan({}).shards) == list(first.shards)
    write(tmp_path, "a.jpg", "c.jpg", "e.jpg", "g.jpg")
    second = reader.plan(known_of(first))
    assert keys_of(second) == [["a.jpg", "c.jpg"], ["e.jpg", "g.jpg"]]
    assert second.known == 3
    assert not {s.id for s in first.shards} & {s.id for s in second.shards}
    third = reader.plan(known_of(first, second))
    assert list(third.shards) == [] and third.known == 7


def test_a_changed_object_is_counted_and_not_replanned(tmp_path):
    reader = Folder(uri=str(tmp_path))
    write(tmp_path, "a.jpg", "b.jpg")
    first = reader.plan({})
    write(tmp_path, "b.jpg", payload=b"another, longer")
    second = reader.plan(known_of(first))
    assert (list(second.shards), second.known, second.changed) == ([], 2, 1)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("{tmp}/none", "does not exist"),
        (
            "{tmp}",
            r"no images below .*expected \*\.jpg .*found 1 other objects \(1 \.txt\); check",
        ),
        ("nosuch://lake", "cannot open the lake"),
    ],
)
def test_an_unusable_lake_is_reported(tmp_path, uri, message):
    write(tmp_path, "readme.txt")
    with pytest.raises(LakeError, match=message):
        Folder(uri=uri.format(tmp=tmp_path)).plan({})


def test_a_failed_listing_is_reported(monkeypatch):
    class Refusing:
        uri = "s3://lake"

        def batches(self, prefix="", skipped=None):
            yield batch_of([Source("a.jpg", "s3://lake/a.jpg", "1", 1)])
            raise StorageError("cannot list s3://lake: 403")

    monkeypatch.setattr(module, "open_lake", lambda uri: Refusing())
    with pytest.raises(LakeError, match=r"403; check `reader\.uri`, and the credentials"):
        Folder(uri="s3://lake").plan({})


def test_reads_in_order_with_errors_for_gone_and_oversized_objects(tmp_path):
    keys = [f"{i:02d}.jpg" for i in range(30)]
    for i, key in enumerate(keys):
        write(tmp_path, key, payload=bytes([i]) * (i + 1))
    reader = Folder(uri=str(tmp_path))
    (shard,) = reader.plan({}).shards
    (tmp_path / "07.jpg").unlink()
    got = list(reader.read(shard, max_bytes=25))
    assert [e.key for e in got] == keys
    for i, e in enumerate(got):
        if i == 7:
            assert isinstance(e.payload, ImageError) and e.payload.status == "unreadable"
        elif i >= 25:
            assert isinstance(e.payload, ImageError) and e.payload.status == "too_large"
        else:
            assert e.payload == bytes([i]) * (i + 1)


def test_closing_early_ends_the_reading_threads(tmp_path):
    write(tmp_path, *(f"{i}.jpg" for i in range(40)))
    reader = Folder(uri=str(tmp_path))
    reading = reader.read(next(iter(reader.plan({}).shards)))
    next(reading)
    reading.close()
    for thread in threading.enumerate():
        if thread.name.startswith("get"):
            thread.join(5)
            assert not thread.is_alive()


class Store:
    """A fake store: `failures[key]` is how many reads of it fail (None: all)."""

    uri = "fake://"

    def __init__(self, failures):
        self.failures = failures
        self.gets = []
        self.listed = []

    def get(self, key):
        self.gets.append(key)
        left = self.failures.get(key, 0)
        if left is None or left > 0:
            self.failures[key] = None if left is None else left - 1
            raise StorageError(f"503 for {key}")
        return key.encode()

    def get_version(self, key):
        return self.get(key), "1"

    def stream(self, key):
        return io.BytesIO(self.get(key))

    def uri_of(self, key):
        return f"fake://{key}"

    def list(self, prefix=""):
        yield from shard_of(*self.listed).sources


def shard_of(*keys):
    return Shard.of([Source(k, f"fake://{k}", "1", 1) for k in keys], len(keys))


@pytest.fixture
def store(monkeypatch):
    def use(failures):
        made = Store(failures)
        monkeypatch.setattr(module, "opened", lambda uri: made)
        return made

    return use


def test_a_failure_of_one_object_is_an_image_error(store):
    store({"b": None})
    got = list(Folder(uri="fake://").read(shard_of("a", "b", "c")))
    assert got[0].payload == b"a" and got[2].payload == b"c"
    assert got[1].payload.status == "unreadable" and "503 for b" in got[1].payload.message


@pytest.mark.parametrize("keys", [("a", "b", "c"), ("a",)])
@pytest.mark.parametrize("listed", [[], ["a"]], ids=["empty", "listing still works"])
def test_a_store_that_fails_for_all_objects_is_an_outage(store, keys, listed):
    store(dict.fromkeys(keys)).listed = listed
    with pytest.raises(OutageError, match="503"):
        list(Folder(uri="fake://").read(shard_of(*keys)))


def gone(store, monkeypatch, *missing):
    made = store({})
    get = made.get

    def without(key):
        if key in missing:
            made.gets.append(key)
            raise NotFoundError(f"no object at {key}")
        return get(key)

    monkeypatch.setattr(made, "get", without)
    return made


@pytest.mark.parametrize(
    ("keys", "listed", "evidence"),
    [
        (("a", "b"), [], "other objects can be read"),
        (("a",), ["elsewhere"], "the lake lists other objects"),
    ],
)
def test_a_missing_object_of_a_lake_that_answers_is_an_image_error(
    store, monkeypatch, keys, listed, evidence
):
    made = gone(store, monkeypatch, "a")
    made.listed = listed
    first, *_ = Folder(uri="fake://").read(shard_of(*keys))
    assert first.payload.status == "unreadable"
    assert f"it was there when planned; {evidence}" in first.payload.message
    assert made.gets.count("a") == 1  # not retried


def test_an_empty_lake_is_an_outage(store, monkeypatch):
    """A folder that is not mounted: every object is missing, and nothing is listed."""
    gone(store, monkeypatch, "a", "b", "c")
    with pytest.raises(OutageError, match="does not answer, or is empty: no object at a"):
        list(Folder(uri="fake://").read(shard_of("a", "b", "c")))


def test_a_lake_whose_folder_is_gone_is_an_outage(tmp_path):
    write(tmp_path, "lake/a.jpg")
    reader = Folder(uri=str(tmp_path / "lake"))
    (shard,) = reader.plan({}).shards
    (tmp_path / "lake").rename(tmp_path / "moved")
    with pytest.raises(OutageError, match="it was there when it was planned"):
        list(reader.read(shard))
