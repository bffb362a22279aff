"""Headers that are checked before anything is allocated or decoded."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy
from samseg.readers.decode.headers import MAX_SCANS


def saved(format, size=(40, 30), **options):
    sink = io.BytesIO()
    Pillow.new("RGB", size, (90, 120, 30)).save(sink, format, **options)
    return sink.getvalue()


def progressive_of(scans):
    """Return a progressive JPEG with its last scan repeated; decoders accept it."""
    whole = saved("JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    more = scans - whole.count(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * more + b"\xff\xd9"


def test_scans_are_limited():
    DecodePolicy().decode(progressive_of(MAX_SCANS))
    with pytest.raises(ImageError, match=f"a JPEG of more than {MAX_SCANS} scans") as caught:
        DecodePolicy().decode(progressive_of(MAX_SCANS + 1))
    assert caught.value.status == "undecodable"


def test_segments_without_end_are_not_walked_through():
    plain = saved("JPEG")
    with pytest.raises(ImageError, match="scans"):
        DecodePolicy().decode(plain[:2] + b"\xff\xe9\0\2" * 70_000 + plain[2:])


@pytest.mark.parametrize("at", ["in a comment", "behind the end"])
def test_only_scans_of_the_first_image_count(at):
    plain, markers = saved("JPEG"), b"\xff\xda\0\2" * (2 * MAX_SCANS)
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(markers)) + markers
    whole = plain + markers if at == "behind the end" else plain[:2] + comment + plain[2:]
    assert DecodePolicy().decode(whole).pixels.shape == (30, 40, 3)


def _claiming(format, **options):
    """Return a file whose header claims 16000 x 16000 px, and the size that Pillow wrote."""
    whole = bytearray(saved(format, **options))
    if format == "WEBP" and whole[12:16] == b"VP8X":
        whole[24:30] = (15999).to_bytes(3, "little") * 2
    elif format == "WEBP" and whole[12:16] == b"VP8L":
        whole[21:25] = struct.pack("<L", 15999 | 15999 << 14)
    elif format == "WEBP":
        whole[26:30] = struct.pack("<2H", 16000, 16000)
    else:
        at = whole.index(b"\xff\x4f\xff\x51") + 8
        whole[at : at + 8] = struct.pack(">2L", 16000, 16000)
        whole[at + 16 : at + 24] = struct.pack(">2L", 16000, 16000)
    return bytes(whole)


CLAIMS = {
    "WebP, lossy": ("WEBP", {}),
    "WebP, lossless": ("WEBP", {"lossless": True}),
    "WebP with metadata": ("WEBP", {"exif": Pillow.Exif().tobytes() + b"\0"}),
    "JPEG 2000": ("JPEG2000", {}),
    "JPEG 2000 codestream": ("JPEG2000", {"no_jp2": True}),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_claimed_sizes_are_checked_before_opening(case):
    format, options = CLAIMS[case]
    with pytest.raises(ImageError, match="16000 x 16000 px") as caught:
        DecodePolicy().decode(_claiming(format, **options))
    assert caught.value.status == "too_large"
    DecodePolicy(max_pixels=1200).decode(saved(format, **options))


def test_an_avif_too_large_for_its_decoder_is_not_called_damaged():
    whole = bytearray(saved("AVIF"))
    at = whole.index(b"ispe") + 8
    whole[at : at + 8] = struct.pack(">2L", 17000, 17000)
    with pytest.raises(ImageError, match="17000 x 17000 px is more than") as caught:
        DecodePolicy().decode(bytes(whole))
    assert caught.value.status == "too_large"


def test_tiles_of_jpeg_2000_are_limited():
    whole = bytearray(saved("JPEG2000"))
    at = whole.index(b"\xff\x4f\xff\x51") + 8
    whole[at : at + 8] = struct.pack(">2L", 200, 200)
    whole[at + 16 : at + 24] = struct.pack(">2L", 1, 1)
    with pytest.raises(ImageError, match="of 40000 tiles"):
        DecodePolicy().decode(bytes(whole))


PNM = {
    "maxval 0": (b"P5 2 1 0\n\1\2", "maxval"),
    "maxval 65536": (b"P5 2 1 65536\n" + bytes(4), "maxval"),
    "no maxval": (b"P5 2 1\n", ""),
    "fewer samples": (b"P5 20 10 255\n\1\2", "PPM, 20 x 10 px"),
    "a value above maxval": (b"P2 2 1 9\n3 10\n", ""),
    "no number": (b"P2 2 1 9\n3 x\n", ""),
}


@pytest.mark.parametrize("case", PNM)
def test_headers_of_pnm_are_checked(case):
    payload, reason = PNM[case]
    with pytest.raises(ImageError, match=f"damaged.*{reason}"):
        DecodePolicy().decode(payload)


@pytest.mark.parametrize("format", ["GIF", "BMP", "AVIF", "PNG"])
def test_sizes_that_pillow_reads_first_are_checked_by_the_policy(format):
    with pytest.raises(ImageError, match=r"40 x 30 px is more than the 1199 px"):
        DecodePolicy(max_pixels=1199).decode(saved(format))


def test_deep_grey_of_pgm_and_jpeg_2000_is_scaled_by_its_maximum():
    values = np.array([[0, 1, 2048, 4095]], np.uint16)
    pgm = b"P5 4 1 4095\n" + values.astype(">u2").tobytes()
    expected = np.rint(values * 255.0 / 4095)
    np.testing.assert_allclose(DecodePolicy().decode(pgm).pixels[..., 0], expected, atol=1)
    done, deep = cv2.imencode(".jp2", np.repeat(np.repeat(values, 40, 0), 10, 1) * 16)
    assert done
    found = DecodePolicy().decode(deep.tobytes()).pixels[0, ::10, 0]
    np.testing.assert_allclose(found, expected[0], atol=2)
