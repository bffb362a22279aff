"""Descriptions of files that are not images of a known format."""

import pytest

from samseg.readers.decode.container import describe_unknown

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
    "colour PFM": (b"PF\n2 2\n-1.0\n", "a PFM of colours, which is not read"),
    "neither": (bytes(range(128, 200)), "it begins with b'\\x80\\x81"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_describes_what_the_file_seems_to_be(case):
    payload, expected = UNKNOWN[case]
    assert expected in describe_unknown(payload)
