"""BMPs whose pixels are divided by bit masks: every division, alpha, and damage."""

import struct

import numpy as np
import pytest

from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy

HEIGHT, WIDTH = 18, 21
SHORT, WITH_ALPHA, LONG = 40, 56, 124
"""Sizes of headers."""


def bmp(values, masks, header=LONG, coding=3, upwards=True):
    """Return a BMP of pixels (h, w) of 16 or 32 bits."""
    rows = values[::-1] if upwards else values
    padding = [(0, 0), (0, -values.shape[1] * values.itemsize % 4 // values.itemsize)]
    data = np.pad(rows, padding).tobytes()
    height = len(values) if upwards else -len(values)
    size, bits = (header, values.shape[1], height, 1), 8 * values.itemsize
    fields = struct.pack("<LllHHLLllLL", *size, bits, coding, len(data), 0, 0, 0, 0)
    fields += struct.pack("<4L", *masks)
    fields = fields.ljust(header, b"\0") if header > SHORT else fields
    start = 14 + len(fields)
    return b"BM" + struct.pack("<LHHL", start + len(data), 0, 0, start) + fields + data


def noise(bits):
    rng = np.random.default_rng(bits)
    values = rng.integers(0, 1 << bits, (HEIGHT, WIDTH), dtype=np.uint64).astype(f"<u{bits // 8}")
    values[0, 0], values[0, 1] = 0, (1 << bits) - 1
    return values


def channel(values, mask):
    """Return a channel as real numbers from 0 to 255."""
    shift = (mask & -mask).bit_length() - 1
    return ((values.astype(np.int64) & mask) >> shift) * 255 / (mask >> shift)


MASKS = {
    "555": (16, (0x7C00, 0x3E0, 0x1F, 0)),
    "565": (16, (0xF800, 0x7E0, 0x1F, 0)),
    "444": (16, (0xF00, 0xF0, 0xF, 0)),
    "231": (16, (0x30, 0xE, 0x1, 0)),
    "1555": (16, (0x7C00, 0x3E0, 0x1F, 0x8000)),
    "4444": (16, (0xF00, 0xF0, 0xF, 0xF000)),
    "BGRX": (32, (0xFF0000, 0xFF00, 0xFF, 0)),
    "RGBX": (32, (0xFF, 0xFF00, 0xFF0000, 0)),
    "BGRA": (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    "ABGR": (32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
    "10 bits": (32, (0x3FF00000, 0xFFC00, 0x3FF, 0)),
    "10 bits, alpha of 2": (32, (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000)),
    "20 bits": (32, (0xFFFFF000, 0xF00, 0xFF, 0)),
}


@pytest.mark.parametrize("upwards", [True, False])
@pytest.mark.parametrize("case", MASKS)
def test_every_division_is_scaled_to_8_bits(case, upwards):
    bits, masks = MASKS[case]
    values = noise(bits)
    expected = np.stack([channel(values, mask) for mask in masks[:3]], -1)
    if masks[3]:
        alpha = channel(values, masks[3])[..., None]
        expected = expected * alpha / 255 + 255 - alpha
    image = DecodePolicy().decode(bmp(values, masks, upwards=upwards))
    np.testing.assert_allclose(image.pixels, expected, atol=1)
    assert (image.format, image.note) == ("BMP", "alpha_flattened" if masks[3] else "")


@pytest.mark.parametrize(
    ("header", "coding", "has_alpha"),
    [(SHORT, 3, False), (SHORT, 6, True), (WITH_ALPHA, 3, True), (LONG, 6, True)],
)
def test_alpha_depends_on_the_header(header, coding, has_alpha):
    payload = bmp(noise(32), MASKS["BGRA"][1], header, coding)
    assert DecodePolicy().decode(payload).note == ("alpha_flattened" if has_alpha else "")


def test_a_file_that_is_all_transparent_is_opaque():
    values = noise(32) & 0xFFFFFF
    found = DecodePolicy().decode(bmp(values, MASKS["BGRA"][1]))
    opaque = DecodePolicy().decode(bmp(values, MASKS["BGRX"][1]))
    np.testing.assert_array_equal(found.pixels, opaque.pixels)
    assert found.note == ""


DAMAGED = {
    "no masks": ((0, 0, 0, 0), 0, "it has no masks"),
    "a mask with a gap": ((0xF0F0, 0xF, 0xF00, 0), 0, "the mask 0xf0f0 has gaps"),
    "a mask of more bits": ((0xF0000, 0xF, 0xF0, 0), 0, "lies outside 16 bits"),
    "too few pixels": (MASKS["565"][1], 3, "it holds 789 of 792 bytes of pixels"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_refused_by_its_reason(case):
    masks, missing, reason = DAMAGED[case]
    whole = bmp(noise(16), masks)
    with pytest.raises(ImageError, match=f"damaged BMP, {WIDTH} x {HEIGHT} px.*{reason}"):
        DecodePolicy().decode(whole[: len(whole) - missing])


@pytest.mark.parametrize("limit", [377, 378])
def test_the_size_is_checked(limit):
    policy, payload = DecodePolicy(max_pixels=limit), bmp(noise(16), MASKS["565"][1])
    if limit == HEIGHT * WIDTH:
        assert policy.decode(payload).pixels.shape == (HEIGHT, WIDTH, 3)
    else:
        with pytest.raises(ImageError, match="21 x 18 px is more than the 377 px"):
            policy.decode(payload)
