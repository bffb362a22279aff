"""Directories and tags: both byte orders, trees of images, and headers that lie."""

import io
import struct

import numpy as np
import pytest
import tifffile

from samseg.readers.decode.tiff_tags import directories, is_tiff, starting_at
from tests.unit.readers.decode.tiffs import grey, tiff

PAGE = (grey(2, 1), b"\1\2")


def sizes(payload):
    return [d.integer(256, 0) for d in directories(payload)]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_values_of_every_type(order, big):
    wanted = {
        65000: (3, [1, 65535]), 65001: (4, [7]), 65002: (12, [0.5, -1.25]), 65003: (11, [2.5]),
        65004: (16, [1 << 40]), 65005: (6, [-3, 4]), 65006: (8, [-300]), 65007: (9, [-70000, 1]),
    }  # fmt: skip
    sink = io.BytesIO()
    tags = [(t, k, len(v), tuple(v), True) for t, (k, v) in wanted.items()]
    tags.append((65008, 2, 4, "nan", True))
    options = {"byteorder": order, "bigtiff": big, "extratags": tags, "metadata": None}
    tifffile.imwrite(sink, np.zeros((2, 2), np.uint8), **options)
    (found,) = directories(sink.getvalue())
    for tag, (_, values) in wanted.items():
        assert found.values(tag).tolist() == values
        assert found.values(tag).dtype.isnative
    assert found.text(65008) == "nan"
    assert found.integers(65000) == (1, 65535)
    assert (found.values(65100).size, found.integers(65100, (5,)), found.text(65100)) == (
        0,
        (5,),
        "",
    )


def test_sub_directories_follow_their_parent():
    sink = io.BytesIO()
    with tifffile.TiffWriter(sink) as writer:
        for width in (3, 6):
            writer.write(np.zeros((4, width), np.uint8), subifds=2, metadata=None)
            writer.write(np.zeros((4, width + 1), np.uint8), metadata=None)
            writer.write(np.zeros((4, width + 2), np.uint8), metadata=None)
    assert sizes(sink.getvalue()) == [3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("order", "<>")
def test_a_directory_can_become_the_first(order):
    payload = tiff(PAGE, (grey(5, 1), b"12345"), order=order)
    second = list(directories(payload))[1]
    assert sizes(starting_at(payload, second)) == [5]


def test_a_chain_that_ends_in_itself_ends():
    assert sizes(tiff(PAGE, (grey(3, 1), b"123"), loop=True)) == [2, 3]


def test_a_file_may_end_with_its_last_tag():
    assert sizes(tiff(PAGE)[:-4]) == [2]


def test_the_first_field_of_a_tag_counts():
    payload = bytearray(tiff((grey(2, 1, t300=(4, [9])), b"\1\2")))
    at = payload.index(struct.pack("<HHLL", 300, 4, 1, 9))
    payload[at : at + 2] = struct.pack("<H", 256)
    assert sizes(bytes(payload)) == [2]


LIES = {
    "no directory": b"II*\0\xff\xff\xff\x7f",
    "cut header": b"MM\0*\0\0",
    "more tags than bytes": b"II*\0\x08\0\0\0\x20\0" + bytes(100),
    "more tags than are read": b"II*\0\x08\0\0\0\xff\xff" + bytes(12 * 65535 + 4),
    "BigTIFF of 2**60 tags": b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 60),
}


@pytest.mark.parametrize("case", LIES)
def test_directories_outside_the_file_are_refused(case):
    assert is_tiff(LIES[case])
    with pytest.raises(ValueError, match=r"lies outside the file|is too long"):
        list(directories(LIES[case]))


@pytest.mark.parametrize(
    ("field", "reason"),
    [((4, 1 << 30, 0), "lie outside"), ((99, 2, 0), "unknown type"), ((12, 1, 0), "no integers")],
)
def test_values_that_cannot_be_read_are_refused(field, reason):
    (page,) = directories(tiff(PAGE))
    page.fields[256] = field
    with pytest.raises(ValueError, match=reason):
        page.integers(256)


@pytest.mark.parametrize("payload", [b"", b"II", b"IIRO\0\0", b"\x89PNG", b"MM*\0"])
def test_other_signatures_are_no_tiff(payload):
    assert not is_tiff(payload)
