"""JPEG 2000 of other depths than 8: notes, percentiles, damage, and what is refused."""

import imagecodecs
import numpy as np
import pytest

from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy
from samseg.readers.decode.jpeg_2000 import depths_of


def encoded(values, bits, form="jp2"):
    stored = values.astype(np.uint8 if bits <= 8 else np.uint16)
    options = {"bitspersample": bits, "codecformat": form, "reversible": True, "level": 0}
    return imagecodecs.jpeg2k_encode(stored, **options)


RAMP = np.arange(4096).reshape(64, 64)
RGB = np.stack([RAMP, RAMP[::-1], RAMP.T], -1)
RGBA = np.concatenate([RGB, np.full((64, 64, 1), 4095)], axis=2)


def test_white_of_deep_colours_stays_white():
    """A picture of 16 bits, white in a part: clouds, paper, burnt-out skies."""
    white = np.full((32, 32, 3), 65535)
    image = DecodePolicy().decode(encoded(white, 16))
    assert (image.pixels == 255).all() and image.note == "16_bit"


@pytest.mark.parametrize("form", ["jp2", "j2k"])
def test_depths_stand_in_the_codestream(form):
    payload = bytearray(encoded(RGB, 12, form))
    assert depths_of(bytes(payload)) == (12, 12, 12)
    payload[payload.index(b"\xff\x4f\xff\x51") + 42] = 0x80 | 9
    assert depths_of(bytes(payload)) == (-10, 12, 12)


def test_opaque_and_clear_alpha_are_told_apart():
    assert DecodePolicy().decode(encoded(RGBA, 12)).note == "16_bit"
    clear = RGBA.copy()
    clear[..., 3] = 0
    image = DecodePolicy(background=(1, 2, 3)).decode(encoded(clear, 12))
    assert (image.pixels == (1, 2, 3)).all() and image.note == "16_bit,alpha_flattened"


def test_percentiles_stretch_deep_colours_alike():
    image = DecodePolicy(range="percentile").decode(encoded(RGB // 4, 12))
    low, high = np.percentile(RGB // 4, (2, 98))
    expected = np.rint((RGB // 4 - low) * 255 / (high - low)).clip(0, 255)
    np.testing.assert_allclose(image.pixels, expected, atol=1)
    assert image.note == "percentile"


def test_few_bits_are_scaled_and_not_noted():
    image = DecodePolicy().decode(encoded(RGB // 1024, 2))
    np.testing.assert_array_equal(image.pixels, RGB // 1024 * 85)
    assert image.note == ""


@pytest.mark.parametrize("bits", [2, 12])
@pytest.mark.parametrize("form", ["jp2", "j2k"])
def test_damage_is_refused_silently(bits, form, capfd):
    whole = encoded(RGB >> 12 - bits, bits, form)
    with pytest.raises(ImageError, match="damaged JPEG"):
        DecodePolicy().decode(whole[: len(whole) * 2 // 3])
    assert capfd.readouterr() == ("", "")


def test_what_neither_library_reads_is_refused_by_its_reason():
    grey_alpha = RGBA[..., 2:]
    with pytest.raises(ImageError, match=r"a JPEG 2000 of 12, 12 bits in LA, which is not read"):
        DecodePolicy().decode(encoded(grey_alpha, 12))


def test_nothing_is_written_to_the_log(capfd):
    DecodePolicy().decode(encoded(RGB, 12, "j2k"))
    assert capfd.readouterr() == ("", "")
