"""Keys and roots of cloud stores: each means itself, and a bad one does not end a listing."""

import pytest

from samseg.errors import ConfigError
from samseg.readers import Folder, fetch
from samseg.storage import filesystem, open_lake, open_output
from tests.chaos.flaky import Bucket, serving

ODD = ["#3", "50%", "a%20b", "what?", "x[1]", "sp ace", "ü", "back\\slash", "{a}^`|~*", "a::b"]
BAD = ["a//d.jpg", "./e.jpg", "a/../q.jpg", "n\nl.jpg", "t\x7f.jpg", "//x.jpg", "b/./c.jpg"]


@pytest.fixture
def bucket(monkeypatch):
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION"):
        monkeypatch.setenv(f"AWS_{name}", "us-east-1")
    with serving(Bucket(page=5)) as bucket:
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
        yield bucket


def planned_keys(found):
    return [s.key for shard in found.shards for s in shard.sources]


@pytest.mark.parametrize("root", ODD)
def test_every_character_of_roots_and_keys_means_itself(bucket, root):
    for key in ODD:
        bucket.objects[f"b/{root}/{key}.jpg"] = key.encode()
    reader = Folder(uri=f"s3://b/{root}")
    (shard,) = reader.plan({}).shards
    images = list(reader.read(shard))
    assert {i.key: i.payload for i in images} == {f"{k}.jpg": k.encode() for k in ODD}
    assert {i.note for i in images} == {""}
    for image in images:
        assert fetch(image.uri) == image.payload
        with filesystem(image.uri).open(image.uri.removeprefix("s3://")) as file:
            assert file.read() == image.payload


@pytest.mark.parametrize("spelling", ["s3", "S3", "s3a", "S3A"])
def test_every_spelling_of_s3_is_the_same_store(bucket, spelling):
    assert open_output(f"{spelling}://b/out/").put_new("a b/1.jpg", b"1")
    (source,) = open_lake(f"{spelling}://b/out").list()
    assert (source.key, source.uri) == ("a b/1.jpg", "s3://b/out/a b/1.jpg")
    assert fetch(f"{spelling}://b/out/a b/1.jpg") == b"1"


@pytest.mark.parametrize("bad", [*([key] for key in BAD), BAD], ids=repr)
@pytest.mark.parametrize("page", [1, 3, 1000])
def test_a_key_that_cannot_be_addressed_is_counted_and_ends_nothing(bucket, bad, page):
    bucket.page = page
    good = [f"{folder}{i}.jpg" for folder in ("", "a/", "b/", "z/") for i in range(4)]
    for key in (*good, *bad):
        bucket.objects[f"b/lake/{key}"] = b"1"
    known = {s.key: s.etag for s in open_lake("s3://b/lake").list()}
    found = Folder(uri="s3://b/lake", include=("*",)).plan({})
    assert planned_keys(found) == sorted(good)
    assert {*found.skipped} == {*bad}
    assert found.changed == 0
    again = Folder(uri="s3://b/lake").plan(known)
    assert (again.known, again.changed) == (len(good), 0)


def test_keys_that_differ_by_a_leading_slash_are_not_one_image_twice(bucket):
    bucket.objects |= {"b//a.jpg": b"1", "b/a.jpg": b"2"}
    found = Folder(uri="s3://b").plan({})
    assert planned_keys(found) == ["a.jpg"]
    assert "several objects" in found.skipped["a.jpg"]


SETTINGS = {
    "AWS_ENDPOINT_URL": lambda url: {"AWS_ENDPOINT_URL": url},
    "AWS_ENDPOINT_URL_S3": lambda url: {"AWS_ENDPOINT_URL_S3": url},
    "AWS_ENDPOINT": lambda url: {"AWS_ENDPOINT": url, "AWS_ALLOW_HTTP": "true"},
    "S3's wins": lambda url: {"AWS_ENDPOINT_URL_S3": url, "AWS_ENDPOINT_URL": "http://other:1"},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_every_spelling_of_the_endpoint_works(bucket, monkeypatch, settings):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    for name, value in settings(bucket.endpoint).items():
        monkeypatch.setenv(name, value)
    bucket.objects["b/a.jpg"] = b"1"
    assert [s.key for s in open_lake("s3://b").list()] == ["a.jpg"]
    with filesystem("s3://b").open("b/a.jpg") as file:
        assert file.read() == b"1"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"])
def test_an_endpoint_without_scheme_is_refused(monkeypatch, name):
    monkeypatch.setenv(name, "localhost:9000")
    with pytest.raises(ConfigError, match=rf"{name}=localhost:9000 .*http://localhost:9000"):
        list(open_lake("s3://b").list())


PROFILES = "[default]\naws_access_key_id=d\n[profile sso]\nsso_session=x\n[mine]\n" + (
    "aws_access_key_id=AKMINE\naws_secret_access_key=s%3D\nregion=eu-west-9\n"
)


@pytest.fixture
def profiles(monkeypatch, tmp_path, bucket):
    (tmp_path / "credentials").write_text(PROFILES)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION"):
        monkeypatch.delenv(f"AWS_{name}")


def test_a_profile_signs_requests(profiles, monkeypatch, bucket):
    monkeypatch.setenv("AWS_PROFILE", "mine")
    bucket.objects["b/a.jpg"] = b"1"
    assert [s.key for s in open_lake("s3://b").list()] == ["a.jpg"]
    assert all("Credential=AKMINE/" in s and "/eu-west-9/" in s for s in bucket.signatures)


@pytest.mark.parametrize(
    ("name", "reason"), [("sso", "has no aws_access_key_id"), ("none", "no such profile")]
)
def test_a_profile_that_cannot_be_used_is_refused(profiles, monkeypatch, name, reason):
    monkeypatch.setenv("AWS_PROFILE", name)
    with pytest.raises(ConfigError, match=f"AWS_PROFILE={name}: .*{reason}"):
        list(open_lake("s3://b").list())
