"""PNGs whose text, profile or transparent value Pillow does not take, or takes wrongly."""

import struct
import zlib

import numpy as np
import pytest

from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy
from samseg.readers.decode.png_chunks import without_metadata


def chunk(name, body, crc=None):
    crc = zlib.crc32(name + body) if crc is None else crc
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)


def png(row, depth, color, *before, after=()):
    """Return a PNG of one row of samples, packed, with chunks before and after its pixels."""
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    header = struct.pack(">IIBBBBB", len(row) * 8 // (depth * samples), 1, depth, color, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *before, chunk(b"IDAT", zlib.compress(b"\0" + row))]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, *after, chunk(b"IEND", b"")])


ROW = bytes(range(9))
LONG = zlib.compress(bytes(2 << 20))
METADATA = {
    "long text": chunk(b"zTXt", b"key\0\0" + LONG),
    "long international text": chunk(b"iTXt", b"key\0\1\0\0\0" + LONG),
    "long profile": chunk(b"iCCP", b"key\0\0" + LONG),
    "frames out of order": chunk(b"acTL", bytes(7) + b"\1" + bytes(4)) + chunk(b"fdAT", bytes(9)),
    "text of an unknown method": chunk(b"zTXt", b"key\0\7" + LONG),
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("case", METADATA)
def test_metadata_does_not_cost_the_picture(case, place):
    extra = METADATA[case]
    whole = png(ROW, 8, 2, extra) if place == "before" else png(ROW, 8, 2, after=[extra])
    image = DecodePolicy().decode(whole)
    np.testing.assert_array_equal(image.pixels.ravel(), list(ROW))
    assert image.note in ("metadata_dropped", "")
    assert place == "after" or image.note == "metadata_dropped"


def test_much_text_in_all_does_not_cost_the_picture():
    parts = [chunk(b"tEXt", b"key%d\0" % i + b"x" * (1 << 20)) for i in range(66)]
    image = DecodePolicy(max_bytes="80MiB").decode(png(ROW, 8, 2, *parts))
    assert (image.pixels.shape, image.note) == ((1, 3, 3), "metadata_dropped")


@pytest.mark.parametrize("damage", [b"tEXt", b"zTXt", b"iCCP"])
def test_a_wrong_checksum_of_metadata_is_still_damage(damage):
    with pytest.raises(ImageError, match="damaged"):
        DecodePolicy().decode(png(ROW, 8, 2, chunk(damage, b"key\0\0" + LONG, crc=1)))


def test_only_metadata_is_dropped():
    plain = png(ROW, 8, 2, chunk(b"gAMA", b"\0\0\1\0"))
    assert without_metadata(plain) == plain
    assert without_metadata(plain + b"rest") == plain + b"rest"
    with_text = png(ROW, 8, 2, chunk(b"gAMA", b"\0\0\1\0"), chunk(b"tEXt", b"a\0b"))
    assert without_metadata(with_text) == plain


CLEAR = {
    "1 bit": (bytes([0b01000000]), 1, 0, b"\0\1", [0, 255, *[0] * 6]),
    "2 bits": (bytes([0b00011011]), 2, 0, b"\0\2", [0, 85, 255, 255]),
    "4 bits": (bytes([0x1F]), 4, 0, b"\0\1", [255, 255]),
    "8 bits": (bytes([7, 9]), 8, 0, b"\0\7", [255, 9]),
    "16 bits": (struct.pack(">2H", 1000, 1001), 16, 0, struct.pack(">H", 1000), [255, 4]),
    "colour": (bytes([1, 2, 3, 4, 4, 4]), 8, 2, struct.pack(">3H", 1, 2, 3), [255, 4]),
    "16-bit colour": (
        struct.pack(">6H", 0x100, 0x100, 0x100, 0x1FF, 0x1FF, 0x1FF), 16, 2,
        struct.pack(">3H", 0x1FF, 0x1FF, 0x1FF), [1, 1],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CLEAR)
def test_the_transparent_value_becomes_the_background(case):
    row, depth, color, clear, expected = CLEAR[case]
    image = DecodePolicy().decode(png(row, depth, color, chunk(b"tRNS", clear)))
    assert image.pixels[0, :, 0].tolist() == expected
