"""Descriptions of files that are not images of a known format."""

import io

import pytest
from PIL import Image as Pillow

from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy
from samseg.readers.decode.container import describe_unknown

_TGA = bytes([0, 0, 2, *bytes(9), 4, 0, 3, 0, 24, 0x20])
UNKNOWN = {
    "HTML": (b"\n <!DOCTYPE html><html>404</html>", "not an image: an HTML page, 33 bytes"),
    "bare HTML": (b"<HTML><body>", "an HTML page"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    "SVG after XML": (b"<?xml version='1.0'?><svg/>", "an SVG drawing"),
    "XML": (b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "an XML file"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "PDF": (b"%PDF-1.7", "a PDF"),
    "ZIP": (b"PK\x03\x04", "a ZIP archive"),
    "gzip": (b"\x1f\x8b\x08", "a gzip file"),
    "JSON": (b'{"error": "denied"}', "a JSON text"),
    "video": (b"\0\0\0\x18ftypisom\0\0\0\0", "an ISO media file (isom: a video or so)"),
    "AVIF": (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "damaged AVIF"),
    "JPEG": (b"\xff\xd8\xff\xe0", "damaged JPEG: its header cannot be read"),
    "JPEG with other bytes between its segments": (b"\xff\xd8\x00\xff\xe0", "damaged JPEG"),
    "PNG with other line ends": (b"\x89PNG\n\x1a\n\0\0\0\rIHDR", "damaged PNG"),
    "colour PFM": (b"PF\n2 2\n-1.0\n", "a PFM of colours, which is not read"),
    "raw in ISO media": (b"\0\0\0\x18ftypcrx \0\0\0\1", "raw sensor data (CR3), which is not read"),
    "raw of Fujifilm": (b"FUJIFILMCCD-RAW 0201", "raw sensor data (RAF), which is not read"),
    "DICOM": (bytes(128) + b"DICM", "a DICOM image, which is not read"),
    "TGA": (_TGA, "a TGA image, which is not read"),
    "TGA of a palette": (bytes([0, 1, 9, 0, 0, 0, 1, 24]) + _TGA[8:], "a TGA image"),
    "TGA without a size": (b"\0\0\x0a" + bytes(13) + b"\x18\0", "not an image of a known format"),
    "neither": (bytes(range(128, 200)), "it begins with b'\\x80\\x81"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_describes_what_the_file_seems_to_be(case):
    payload, expected = UNKNOWN[case]
    assert expected in describe_unknown(payload)


def _saved(format, mode):
    sink = io.BytesIO()
    Pillow.new(mode, (64, 64)).save(sink, format)
    return sink.getvalue()


WRITTEN = {
    "PCX": "a PCX image", "SGI": "an SGI image", "TGA": "a TGA image", "ICO": "an icon",
    "DDS": "a DDS texture", "QOI": "a QOI image", "EPS": "a PostScript drawing",
    "ICNS": "an icon of macOS", "BLP": "a BLP texture", "PDF": "a PDF",
}  # fmt: skip


@pytest.mark.parametrize("format", WRITTEN)
def test_what_pillow_writes_and_samseg_does_not_read_is_named(format):
    Pillow.init()
    if format not in Pillow.SAVE:
        pytest.skip(f"this Pillow does not write {format}")
    payload = _saved(format, "P" if format == "BLP" else "RGB")
    with pytest.raises(ImageError, match=WRITTEN[format]):
        DecodePolicy().decode(payload)
