"""TIFFs whose strips and tiles are whole files: sizes that they must have, damage, limits."""

import io
import struct

import numpy as np
import pytest
from PIL import Image as Pillow

from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy
from tests.unit.readers.decode.tiffs import grey, tiff

WEBP, PNG, JPEG_2000 = 50001, 34933, 34712
RGB = {"photometric": 2, "t277": (3, [3]), "t258": (3, [8, 8, 8])}


def saved(format, size=(20, 10), **options):
    sink = io.BytesIO()
    Pillow.new("RGB", size, (90, 120, 30)).save(sink, format, **options)
    return sink.getvalue()


def decoded(codec, strip, height=10, **more):
    return DecodePolicy().decode(tiff((grey(20, height, t259=(3, [codec]), **RGB | more), strip)))


FORMATS = {"WEBP": WEBP, "PNG": PNG, "JPEG2000": JPEG_2000}


@pytest.mark.parametrize("format", FORMATS)
def test_one_strip_is_one_file(format):
    lossless = {"lossless": True} if format == "WEBP" else {}
    image = decoded(FORMATS[format], saved(format, **lossless))
    assert (image.pixels == (90, 120, 30)).all() and image.pixels.shape == (10, 20, 3)


def test_the_last_strip_may_be_as_high_as_the_others():
    strip = saved("PNG")
    places = {273: (4, [8, 8 + len(strip)]), 279: (4, [len(strip)] * 2), 278: (4, [10])}
    fields = grey(20, 17, t259=(3, [PNG]), **RGB) | places
    image = DecodePolicy().decode(tiff((fields, 2 * strip)))
    assert image.pixels.shape == (17, 20, 3) and (image.pixels == (90, 120, 30)).all()


def test_a_predictor_has_no_meaning():
    assert (decoded(PNG, saved("PNG"), t317=(3, [2])).pixels == (90, 120, 30)).all()


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_of_another_size_is_damage(format):
    with pytest.raises(ImageError, match=r"damaged TIFF.*of 20 x 10 px is 21 x 10"):
        decoded(FORMATS[format], saved(format, (21, 10)))


def test_a_size_that_a_webp_claims_is_not_allocated(peak_bytes):
    strip = bytearray(saved("WEBP"))
    strip[26:30] = struct.pack("<2H", 16000, 16000)
    with pytest.raises(ImageError, match=r"damaged TIFF.*of 20 x 10 px is 16000 x 16000"):
        decoded(WEBP, bytes(strip))
    assert peak_bytes() < 1 << 20


@pytest.mark.parametrize("strip", [b"", b"\xff" * 40, saved("PNG")[:50], saved("JPEG")])
def test_what_is_no_such_file_is_damage(strip):
    with pytest.raises(ImageError, match="damaged TIFF"):
        decoded(PNG, strip)


UNREAD = {
    "16 bits": ({"t258": (3, [16] * 3)}, "PNG .Compression 34933. is read with 8 bits"),
    "YCbCr": ({"photometric": 6}, "is not read with YCbCr"),
    "6 bands": (
        {"t277": (3, [6]), "t258": (3, [8] * 6), "t338": (3, [0] * 3)}, "with at most 4 bands"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREAD)
def test_what_is_not_read_is_refused_by_its_reason(case):
    more, reason = UNREAD[case]
    with pytest.raises(ImageError, match=reason):
        decoded(PNG, saved("PNG"), **more)


def test_alpha_that_a_file_leaves_out_is_opaque():
    fields = {"t277": (3, [4]), "t258": (3, [8] * 4), "t338": (3, [2])}
    image = decoded(WEBP, saved("WEBP", lossless=True), **fields)
    np.testing.assert_array_equal(image.pixels[0, 0], (90, 120, 30))
    assert image.note == ""
