from pathlib import Path

import pytest

from samseg.errors import ConfigError
from samseg.picture.prompt import Prompt


def plain(array):
    return None if array is None else array.tolist()


@pytest.mark.parametrize(
    ("box", "points", "labels", "mask", "wanted"),
    [
        ("1,2,30,40.5", [], [], None, ([1, 2, 30, 40.5], None, None, None)),
        (None, ["3,4"], [], None, (None, [[3, 4]], [1], None)),
        (None, ["3,4", "5,6"], [1, 0], None, (None, [[3, 4], [5, 6]], [1, 0], None)),
        (None, [], [], Path("m.png"), (None, None, None, Path("m.png"))),
        ("1,2,3,4", ["3,4"], [0], Path("m.png"), ([1, 2, 3, 4], [[3, 4]], [0], Path("m.png"))),
    ],
    ids=["box", "point", "points with labels", "mask", "all"],
)
def test_options_become_arrays(box, points, labels, mask, wanted):
    prompt = Prompt.parse(box, points, labels, mask)
    assert (plain(prompt.box), plain(prompt.points), plain(prompt.labels), prompt.mask) == wanted


def test_no_options_are_no_prompt():
    assert Prompt.parse(None, [], [], None) is None


@pytest.mark.parametrize(
    ("box", "points", "labels", "message"),
    [
        ("1,2,3", [], [], r"--box is '1,2,3', wanted x,y,x,y"),
        ("1,2,x,4", [], [], r"--box is '1,2,x,4'"),
        ("1,2,nan,4", [], [], r"--box is '1,2,nan,4'"),
        ("30,2,10,40", [], [], r"--box 30,2,10,40 is empty; wanted left,top,right,bottom"),
        ("1,2,10,2", [], [], r"--box 1,2,10,2 is empty"),
        (None, ["1"], [], r"--point is '1', wanted x,y in px"),
        (None, ["1,2", "3;4"], [], r"--point is '3;4'"),
        (None, ["1,2", "3,4"], [1], r"got 1 --label for 2 --point; give one label per point"),
        ("1,2,3,4", [], [1], r"got 1 --label for 0 --point"),
    ],
)
def test_a_malformed_prompt_is_explained(box, points, labels, message):
    with pytest.raises(ConfigError, match=message):
        Prompt.parse(box, points, labels, None)


@pytest.mark.parametrize(
    ("box", "points", "message"),
    [
        (None, ["31,5"], r"--point 31,5 is outside the photo, which is 30 px wide and 20 px high"),
        (None, ["5,5", "5,21"], r"--point 5,21 is outside"),
        ("30,0,40,9", [], r"--box 30,0,40,9 is outside the photo, which is 30 px wide"),
        ("-9,-9,0,5", [], r"--box -9,-9,0,5 is outside"),
    ],
)
def test_a_prompt_outside_the_photo_is_an_error(box, points, message):
    with pytest.raises(ConfigError, match=message):
        Prompt.parse(box, points, [], None).check((20, 30))


@pytest.mark.parametrize("box", ["-5,-5,40,40", "0,0,30,20", "29,19,50,50"])
def test_a_box_may_extend_beyond_the_photo(box):
    Prompt.parse(box, ["30,20", "0,0"], [], None).check((20, 30))


@pytest.mark.parametrize(
    ("box", "points", "mask", "wanted"),
    [
        (None, ["3,4"], None, True),
        (None, ["3,4", "5,6"], None, False),
        ("1,2,3,4", ["3,4"], None, False),
        (None, ["3,4"], Path("m.png"), False),
        ("1,2,3,4", [], None, False),
    ],
)
def test_only_a_single_point_is_ambiguous(box, points, mask, wanted):
    assert Prompt.parse(box, points, [], mask).ambiguous is wanted
