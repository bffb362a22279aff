import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samseg.exporters.pairing import put_paired
from samseg.exporters.types import LabelledImage

from .conftest import Memory


def image(key: str, image_id: str = "i", uri: str = "") -> LabelledImage:
    return LabelledImage(image_id, key, 2, 2, uri, ())


@pytest.mark.parametrize(
    ("key", "uri", "name"),
    [
        ("a/b.jpg", "", "a/b.png"),
        ("0.tar/a.jpg", "tar://a.jpg::s3://lake/0.tar", "0/a.png"),
        ("a/b.png", "", "a/b.png"),
        ("a/b.png.jpg", "", "a/b.png.png"),
        ("a/b.c.JPG", "", "a/b.c.png"),
        ("a/b.x?y", "", "_/i.png"),
        ("a/b", "", "_/i.png"),
        ("a.b/c", "", "_/i.png"),
        (".jpg", "", "_/i.png"),
        ("../b.jpg", "", "_/i.png"),
        ("a.png/b.jpg", "", "_/i.png"),
        ("a.PNG/b.jpg", "", "_/i.png"),
    ],
)
def test_an_object_is_named_like_its_photo(key: str, uri: str, name: str) -> None:
    target = Memory()
    assert put_paired(image(key, uri=uri), b"map", target, "maps", ".png") == name
    assert target.kept == {f"maps/{name}": b"map"}


def test_photos_that_differ_by_their_extension_share_equal_objects_only() -> None:
    target = Memory()
    names = [
        put_paired(image(f"a.{extension}", extension), payload, target, "maps", ".png")
        for extension, payload in (("jpg", b"1"), ("png", b"1"), ("webp", b"2"))
    ]
    assert names == ["a.png", "a.png", "_/webp.png"]


@given(st.lists(st.text(alphabet="ab/.jpgn", max_size=8), unique=True, max_size=12))
@settings(deadline=None)
def test_other_objects_never_share_a_name(keys: list[str]) -> None:
    target = Memory()
    suffixed = {key + suffix: None for key in keys for suffix in ("", ".jpg", ".png", ".png.jpg")}
    for n, key in enumerate(suffixed):
        put_paired(image(key, f"i{n}"), str(n).encode(), target, "maps", ".png")
    assert len(target.kept) == len(suffixed)
    folders = {n.rsplit("/", i)[0] for n in target.kept for i in range(1, n.count("/") + 1)}
    assert not folders & set(target.kept)
