"""JPEGs whose metadata Pillow does not take, and codings that it does not decode."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image as Pillow

from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy
from samseg.readers.decode.jpeg_segments import uncommon_coding, without_metadata


def segment(code, body):
    return bytes([0xFF, code]) + struct.pack(">H", 2 + len(body)) + body


def jpeg(mode="RGB", **options):
    y, x = np.mgrid[:30, :40]
    image = Pillow.fromarray(np.stack([x * 5, y * 8, x + y], -1).astype(np.uint8)).convert(mode)
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=95, **options)
    return sink.getvalue()


PLAIN = jpeg()
REST = PLAIN[20:]
"""The file behind its JFIF segment of 18 bytes."""

ODD = {
    "a JFIF segment without a version": segment(0xE0, b"JFIF\0"),
    "a Photoshop segment cut short": segment(0xED, b"Photoshop 3.0\08BIM\x03\xed\0\0\0\0\0\x10"),
    "a JFIF segment cut short, and a comment": segment(0xE0, b"JFIF\0\1") + segment(0xFE, b"x"),
}


@pytest.mark.parametrize("case", ODD)
def test_metadata_does_not_cost_the_picture(case):
    found = DecodePolicy().decode(PLAIN[:2] + ODD[case] + REST)
    np.testing.assert_array_equal(found.pixels, DecodePolicy().decode(PLAIN).pixels)
    assert found.note in ("", "metadata_dropped")


def test_what_is_dropped_stands_in_the_note():
    odd = PLAIN[:2] + ODD["a JFIF segment without a version"] + REST
    assert DecodePolicy().decode(odd).note == "metadata_dropped"


def test_orientation_and_the_colours_of_cmyk_are_kept():
    exif = Pillow.Exif()
    exif[0x0112] = 6
    for whole, note in ((jpeg(exif=exif), "exif_rotated"), (jpeg("CMYK"), "cmyk")):
        expected = DecodePolicy().decode(whole)
        odd = whole[:2] + ODD["a JFIF segment without a version"] + whole[2:]
        found = DecodePolicy().decode(odd)
        np.testing.assert_array_equal(found.pixels, expected.pixels)
        assert (expected.note, found.note) == (note, f"{note},metadata_dropped")


def test_scans_are_kept_as_they_are():
    whole = PLAIN[:2] + segment(0xE3, b"\xff\xda") + segment(0xFE, b"x") + PLAIN[2:]
    assert without_metadata(whole) == PLAIN[:2] + REST
    assert without_metadata(b"\xff\xd8rest") == b"\xff\xd8rest"


def _coded(code, bits):
    at = PLAIN.index(b"\xff\xc0")
    return (
        PLAIN[:at] + bytes([0xFF, code]) + PLAIN[at + 2 : at + 4] + bytes([bits]) + PLAIN[at + 5 :]
    )


CODINGS = {
    "12 bits": (_coded(0xC1, 12), "of 12 bits"),
    "lossless, 16 bits": (_coded(0xC3, 16), "of 16 bits, lossless"),
    "hierarchical": (_coded(0xC5, 8), "of 8 bits, hierarchical"),
    "JPEG-LS": (imagecodecs.jpegls_encode(np.zeros((9, 9), np.uint8)), "of 8 bits, JPEG-LS"),
    "lossless, 16 bits, whole": (
        imagecodecs.ljpeg_encode(np.zeros((9, 9), np.uint16), bitspersample=16),
        "of 16 bits, lossless",
    ),
}


@pytest.mark.parametrize("case", CODINGS)
def test_codings_that_pillow_does_not_decode_are_named(case):
    payload, coding = CODINGS[case]
    assert uncommon_coding(payload) == coding
    with pytest.raises(ImageError, match=f"a JPEG {coding}, which Pillow does not decode"):
        DecodePolicy().decode(payload)


@pytest.mark.parametrize("progressive", [False, True])
def test_common_codings_are_damaged_if_they_do_not_decode(progressive):
    whole = jpeg(progressive=progressive)
    assert uncommon_coding(whole) is None
    with pytest.raises(ImageError, match="damaged JPEG, 40 x 30 px"):
        DecodePolicy().decode(whole[:-80])
