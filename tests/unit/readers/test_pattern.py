"""Patterns in the URIs of lakes: what they match, and what is meant literally."""

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samseg.errors import LakeError
from samseg.readers.folder import Folder
from samseg.readers.pattern import expression, literal
from samseg.readers.webdataset import WebDataset


def matches(pattern, key):
    return re.fullmatch(expression(pattern), key, re.DOTALL) is not None


@pytest.mark.parametrize(
    ("pattern", "meant", "others"),
    [
        ("*.jpg", ["a.jpg", "b/a.jpg", "new\nline.jpg"], ["a.png", "ajpg"]),
        ("2024-*", ["2024-01/a.jpg", "2024-", "2024-1.jpg"], ["2023-01/a.jpg"]),
        ("a/**/b.jpg", ["a/b.jpg", "a/x/y/b.jpg"], ["a/xb.jpg", "c/b.jpg"]),
        ("**/b.jpg", ["b.jpg", "x/b.jpg"], ["xb.jpg"]),
        ("**", ["b.jpg", "x/b.jpg"], []),
        ("?.jpg", ["a.jpg", "é.jpg"], ["ab.jpg", "/.jpg", ".jpg"]),
        ("[a-c]x", ["ax", "cx/1.jpg", "[a-c]x"], ["dx", "-x"]),
        ("[!a-c]x", ["dx"], ["ax", "/x"]),
        ("[]x", ["[]x"], ["x"]),
        ("[[]2020] trip", ["[2020] trip/a.jpg"], ["2 trip/a.jpg"]),
        ("[*][?][{]a,b}", ["*?{a,b}"], ["xy{a,b}", "*?a"]),
        ("{a,b*,}.tar", ["a.tar", "bcd.tar", ".tar"], ["c.tar", "{a,b*,}.tar"]),
        ("{a,{b,c}d}", ["a", "bd", "cd"], ["b", "d"]),
        ("{a/b,c}/d", ["a/b/d", "c/d/1.jpg"], ["a/d"]),
        ("{a}.{b", ["{a}.{b"], ["a.b"]),
        ("{c..e}", ["c", "d", "e"], ["b", "c..e"]),
        ("{000..019}.tar", ["000.tar", "019.tar"], ["020.tar", "19.tar", "0000.tar"]),
        ("{8..12}.tar", ["8.tar", "10.tar", "12.tar"], ["08.tar", "7.tar", "13.tar"]),
        ("{12..8}*", ["9", "12x", "85"], ["7", "x"]),
        ("a+(b)|^$.&&", ["a+(b)|^$.&&"], ["aab", "a"]),
    ],
)
def test_patterns(pattern, meant, others):
    assert [key for key in [*meant, *others] if matches(pattern, key)] == meant


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3500), st.booleans())
def test_ranges_hold_the_numbers_between_their_ends(low, high, number, padded):
    width = 4 if padded else 0
    pattern = f"{{{low:0{width}}..{high:0{width}}}}"
    meant = min(low, high) <= number <= max(low, high)
    assert matches(pattern, f"{number:0{width}}") == meant
    assert not matches(pattern, f"0{number:0{width}}")


@given(st.text(st.sampled_from("ab*?[]!-{},.\\^/"), max_size=8))
def test_a_literal_pattern_means_itself_and_what_lies_in_it(key):
    assert matches(literal(key), key) and matches(literal(key), f"{key}/x")
    assert not matches(literal(key), f"{key}x")


@given(st.text(st.sampled_from("ab?"), max_size=6), st.text(st.sampled_from("ab"), max_size=6))
def test_question_marks_are_those_of_fnmatch(pattern, key):
    assert matches(pattern, key) == fnmatchcase(key, pattern)


FILES = [
    *("a1/x.jpg", "a2/x.jpg", "b/x.jpg", "[2020] trip/1.jpg", "[2020] trip/2.jpg", "2 trip/1.jpg"),
    *("{a,b}/1.jpg", "why?/1.jpg", "whyX/1.jpg", "10/x.jpg", "11/x.jpg"),
]


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path):
    import fsspec

    uri = str(tmp_path) if request.param == "local" else "memory://patterns"
    fs, path = fsspec.core.url_to_fs(uri)
    for name in FILES:
        for key in (name, f"{name}.tar"):
            fs.makedirs(f"{path}/{key}".rsplit("/", 1)[0], exist_ok=True)
            fs.pipe_file(f"{path}/{key}", b"x")
    yield uri
    fs.rm(path, recursive=True)


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        ("a*", ["a1/x.jpg", "a2/x.jpg"]),
        ("*/x.jpg", ["10/x.jpg", "11/x.jpg", "a1/x.jpg", "a2/x.jpg", "b/x.jpg"]),
        ("a?/", ["a1/x.jpg", "a2/x.jpg"]),
        ("{a1,b}", ["a1/x.jpg", "b/x.jpg"]),
        ("{09..10}", ["10/x.jpg"]),
        ("[2020] trip", ["1.jpg", "2.jpg"]),
        ("[2020] trip/[2-9]*", ["2.jpg"]),
        ("[[]2020] trip", ["[2020] trip/1.jpg", "[2020] trip/2.jpg"]),
        ("[20] trip", ["2 trip/1.jpg"]),
        ("{a,b}", ["1.jpg"]),
        ("why?", ["1.jpg"]),
        ("wh[y]?", ["why?/1.jpg", "whyX/1.jpg"]),
    ],
)
@pytest.mark.parametrize("kind", [Folder, WebDataset])
def test_every_reader_takes_patterns_and_literal_names(root, kind, pattern, keys):
    is_tar = kind is WebDataset
    pattern = pattern.replace("x.jpg", "x.jpg.tar") if is_tar else pattern
    planned = kind(uri=f"{root}/{pattern}").plan({})
    found = [s.key for shard in planned.shards for s in shard.sources]
    assert found == [f"{key}.tar" if is_tar else key for key in keys]


def test_a_pattern_that_matches_nothing_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(LakeError, match=r"no images below .*/\{b,c\}\*: .* 1 other"):
        Folder(uri=f"{tmp_path}/{{b,c}}*").plan({})


def test_only_folders_that_a_pattern_may_mean_are_reported_as_skipped(tmp_path):
    for name in ("2024-01", "2024-02", "private"):
        (tmp_path / name).mkdir()
    (tmp_path / "2024-01" / "a.jpg").write_bytes(b"x")
    (tmp_path / "2024-02" / "gone.jpg").symlink_to("nothing")
    (tmp_path / "private" / "gone.jpg").symlink_to("nothing")
    assert [*Folder(uri=f"{tmp_path}/2024-*").plan({}).skipped] == ["2024-02/gone.jpg"]


def test_tars_of_any_name_are_read_if_the_pattern_names_their_extension(tmp_path):
    for name in ("a.dat", "a.txt", "a.tar"):
        (tmp_path / name).write_bytes(b"x")

    def keys(pattern):
        planned = WebDataset(uri=f"{tmp_path}/{pattern}").plan({})
        return [s.key for shard in planned.shards for s in shard.sources]

    assert (keys("*.dat"), keys("a*")) == (["a.dat"], ["a.tar"])
