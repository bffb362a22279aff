"""TIFFs of samples: ranges by tag, type and percentile, nodata, alpha, orientation, limits."""

import io
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy, libtiff
from samseg.readers.decode.tiff_tags import directories
from tests.unit.readers.decode.tiffs import grey, tiff

PERCENTILE = DecodePolicy(range="percentile")


def decoded(values, policy=None, **options):
    """Write values with tifffile, decode them, and return one channel, and the note."""
    sink = io.BytesIO()
    options = {"photometric": "minisblack", "metadata": None} | options
    tifffile.imwrite(sink, values, **options)
    image = (policy or DecodePolicy()).decode(sink.getvalue())
    return image.pixels[..., 0], image.note


def tag(number, kind, *values):
    return {"extratags": [(number, kind, len(values), values, True)]}


RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
BY_TYPE = np.rint(RAMP / 257.0)
NUMBERS = RAMP.astype(float)
BY_TAG = np.rint(NUMBERS * 255 / 4095)
RANGES = {
    "by its type": (RAMP, {}, BY_TYPE, "16_bit"),
    "by SMaxSampleValue": (RAMP, tag(341, 3, 4095), BY_TAG, "16_bit,sample_range"),
    "not by MaxSampleValue": (RAMP, tag(281, 3, 4095), BY_TYPE, "16_bit"),
    "a maximum below the minimum": (RAMP, tag(341, 3, 0), BY_TYPE, "16_bit"),
    "a maximum beyond the type": (RAMP, tag(341, 4, 70000), BY_TYPE, "16_bit"),
    "inverted": (RAMP, {"photometric": "miniswhite"}, 255 - BY_TYPE, "16_bit"),
    "12 bits, packed": (RAMP, {"bitspersample": 12}, BY_TAG, "12_bit"),
    "8 bits keep theirs": (
        (RAMP % 64).astype(np.uint8), tag(341, 3, 63), RAMP % 64, ""
    ),
    "signed": (
        RAMP.astype(np.int16), {}, np.rint((NUMBERS + 32768) * 255 / 65535), "16_bit_signed"
    ),
    "signed, by SMin and SMax": (
        (RAMP.astype(np.int16) - 1000),
        {"extratags": [(340, 8, 1, (-1000,), True), (341, 8, 1, (3095,), True)]},
        BY_TAG,
        "16_bit_signed,sample_range",
    ),
    "float": (RAMP.astype(np.float32) - 7, {}, BY_TAG, "stretched"),
    "float, by SMin and SMax": (
        RAMP.astype(np.float32),
        {"extratags": [(340, 11, 1, (0.0,), True), (341, 11, 1, (65535.0,), True)]},
        BY_TYPE,
        "32_bit,sample_range",
    ),
    "float, by SMax alone": (RAMP.astype(np.float32), tag(341, 11, 9.0), BY_TAG, "stretched"),
}  # fmt: skip


@pytest.mark.parametrize("case", RANGES)
def test_samples_are_scaled_from_their_range(case):
    values, options, expected, note = RANGES[case]
    found, noted = decoded(values, **options)
    np.testing.assert_array_equal(found, expected)
    assert noted == note


@pytest.mark.parametrize("text", ["-9999", "-9999.0 ", "-9999\0"])
def test_nodata_does_not_stretch_floats(text):
    values = RAMP.astype(np.float32)
    values[3, 4], values[5, 6] = -9999, np.nan
    found, note = decoded(values, extratags=[(42113, 2, 0, text, True)])
    expected = BY_TAG.copy()
    expected[3, 4] = expected[5, 6] = 0
    np.testing.assert_array_equal(found, expected)
    assert note == "stretched,nodata"


def test_percentiles_stretch_all_colours_alike():
    values = np.repeat(RAMP[..., None], 3, axis=2)
    values[..., 1] //= 2
    found, note = decoded(values, PERCENTILE, photometric="rgb")
    low, high = np.percentile(values, (2, 98))
    expected = np.rint(((NUMBERS - low) * 255 / (high - low)).clip(0, 255))
    np.testing.assert_allclose(found, expected, atol=1)
    assert note == "percentile"


def test_percentiles_leave_nodata_out():
    values = RAMP.astype(np.int16)
    values[:32] = -32768
    found, note = decoded(values, PERCENTILE, extratags=[(42113, 2, 0, "-32768", True)])
    low, high = np.percentile(values[32:], (2, 98))
    expected = np.rint(((NUMBERS[32:] - low) * 255 / (high - low)).clip(0, 255))
    np.testing.assert_allclose(found[32:], expected, atol=1)
    assert not found[:32].any() and note == "percentile,nodata"


def test_percentiles_leave_8_bits_as_they_are():
    values = (RAMP % 50).astype(np.uint8)
    found, note = decoded(values, PERCENTILE)
    np.testing.assert_array_equal(found, values)
    assert note == ""


def test_12_bits_are_packed_alike_in_both_byte_orders():
    strip = bytes.fromhex("000fff800123")
    images = [
        DecodePolicy().decode(tiff((grey(4, 1, 12), strip), order=order)).pixels for order in "<>"
    ]
    np.testing.assert_array_equal(images[0], images[1])
    assert images[0][0, :, 0].tolist() == [0, 255, 128, 18]


def test_fill_order_2_reverses_the_bits_of_bytes():
    strip = bytes([0b00000001, 0b11001000])
    image = DecodePolicy().decode(tiff((grey(16, 1, 1, t266=(3, [2])), strip)))
    assert (image.pixels[0, :, 0] > 0).tolist() == [
        *map(bool, [1, *[0] * 7, 0, 0, 0, 1, 0, 0, 1, 1])
    ]


@pytest.mark.parametrize("scale", [1, 257])
def test_palettes_may_hold_8_bit_entries(scale):
    colors = [0, 40, 80, 255, 10, 50, 90, 200, 20, 60, 100, 30]
    fields = grey(4, 1, 2, 3, t320=(3, [c * scale for c in colors]))
    image = DecodePolicy().decode(tiff((fields, bytes([0b00011011]))))
    assert image.pixels[0].tolist() == [[0, 10, 20], [40, 50, 60], [80, 90, 100], [255, 200, 30]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("codec", ["raw", "tiff_lzw", "jpeg"])
def test_both_ways_of_reading_turn_pages_upright_once(orientation, codec):
    stored = np.full((16, 32, 3), 20, np.uint8)
    stored[:8, :16] = 220
    sink = io.BytesIO()
    quality = {"quality": 95} if codec == "jpeg" else {}
    image = Pillow.fromarray(stored)
    image.save(sink, "TIFF", compression=codec, tiffinfo={274: orientation}, **quality)
    image = DecodePolicy().decode(sink.getvalue())
    turns = {1: (0, 0), 2: (0, 1), 3: (2, 0), 4: (2, 1), 5: (1, 1), 6: (3, 0), 7: (3, 1), 8: (1, 0)}
    rotations, mirrored = turns[orientation]
    expected = np.rot90(stored[:, ::-1] if mirrored else stored, rotations)
    np.testing.assert_allclose(image.pixels, expected, atol=8)
    assert image.note == ("" if orientation == 1 else "exif_rotated")


LAB_OF_SRGB = {
    "white": ((100, 0, 0), (255, 255, 255)),
    "red": ((54.29, 80.81, 69.89), (255, 0, 0)),
    "green": ((87.82, -79.27, 80.99), (0, 255, 0)),
    "blue": ((29.57, 68.30, -112.03), (0, 0, 255)),
    "mid-grey": ((53.59, 0, 0), (128, 128, 128)),
}
"""CIELab with a D50 white, of colours of sRGB."""


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("color", LAB_OF_SRGB)
def test_cielab_becomes_srgb(color, bits):
    (lightness, a, b), expected = LAB_OF_SRGB[color]
    unit, high = 256 ** (bits // 8 - 1), 2**bits - 1
    stored = [round(lightness / 100 * high), round(a * unit) & high, round(b * unit) & high]
    strip = np.array(stored, f"<u{bits // 8}").tobytes()
    fields = grey(1, 1, t258=(3, [bits] * 3), t277=(3, [3]), photometric=8)
    image = DecodePolicy().decode(tiff((fields, strip)))
    steep = 26  # near 0 the curve of sRGB turns a thousandth into some levels
    atol = 1 if len(set(expected)) == 1 else steep
    np.testing.assert_allclose(image.pixels[0, 0].astype(int), expected, atol=atol)
    assert image.note == "cielab"


def test_palettes_may_come_with_other_bands():
    entries = [n for n in (0, 10, 20) for _ in range(256)]
    fields = grey(2, 1, 8, 3, t277=(3, [2]), t338=(3, [0]), t320=(3, [257 * n for n in entries]))
    image = DecodePolicy().decode(tiff((fields, bytes([7, 99, 8, 98]))))
    assert (image.pixels[0, 0].tolist(), image.note) == ([0, 10, 20], "extra_samples_ignored")


@pytest.mark.parametrize("number", [8, 32946, 50013])
def test_deflate_has_three_numbers(number):
    strip = zlib.compress(bytes([1, 2, 3]))
    image = DecodePolicy().decode(tiff((grey(3, 1, t259=(3, [number])), strip)))
    assert image.pixels[0, :, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("tag", [0, 1, 65000])
def test_unknown_tags_of_no_type_do_not_cost_a_fax(tag):
    sink = io.BytesIO()
    Pillow.new("1", (64, 9), 1).save(sink, "TIFF", compression="group4")
    page = next(directories(sink.getvalue()))
    start = page.integer(273, 0)
    strip = sink.getvalue()[start : start + page.integer(279, 0)]
    fields = grey(64, 9, 1, page.integer(262, 0), t259=(3, [4]))
    image = DecodePolicy().decode(tiff((fields | {tag: (0, [])}, strip)))
    assert (image.pixels == 255).all()


DEFLATED = zlib.compress(bytes(6000))
DAMAGED = {
    "a strip beyond the file": ((grey(8, 8, t273=(4, [10**6])), bytes(64)), "outside the file"),
    "a short strip": ((grey(8, 8), bytes(63)), "holds 63 of 64 bytes"),
    "a short stream": ((grey(100, 90, t259=(3, [8])), DEFLATED), "holds 6000 of 9000 bytes"),
    "a wrong checksum": ((grey(100, 60, t259=(3, [8])), DEFLATED[:-1] + b"x"), "incorrect data"),
    "no stream": ((grey(100, 60, t259=(3, [8])), b"\xff" * 9), "incorrect header"),
    "no LZW": ((grey(100, 60, t259=(3, [5])), b"\xff" * 9), "libtiff: Using code not"),
    "a short PackBits": ((grey(100, 60, t259=(3, [32773])), b"\xff" * 9), "libtiff: Not enough"),
    "a bad fax": ((grey(64, 9, 1, 0, t259=(3, [4])), b"\1\x80" * 30), "libtiff: Bad code word"),
    "a palette of 2": ((grey(4, 4, 8, 3, t320=(3, [1, 2])), bytes(16)), "palette has 2 of 768"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_refused_silently(case, capfd):
    page, reason = DAMAGED[case]
    with pytest.raises(ImageError, match=rf"damaged TIFF, \d+ x \d+ px by its header: .*{reason}"):
        DecodePolicy().decode(tiff(page))
    assert capfd.readouterr() == ("", "")


def test_an_unknown_predictor_is_refused_by_its_reason():
    fields = grey(100, 60, t259=(3, [8]), t317=(3, [7]))
    with pytest.raises(ImageError, match=r"^a TIFF of 1 band of uint8 is not read: Predictor 7"):
        DecodePolicy().decode(tiff((fields, DEFLATED)))


CLAIMS = {
    "of pixels": (grey(40000, 30000, t259=(3, [8])), "40000 x 30000 px is more than"),
    "of tiles": (
        grey(10, 10, t259=(3, [8]), t322=(4, [65536]), t323=(4, [65536])),
        "takes 4294967296 bytes decompressed",
    ),
    "of tiles of JPEG": (
        grey(10, 10, t259=(3, [7]), t322=(4, [65536]), t323=(4, [65536])),
        "takes 4294967296 bytes decompressed",
    ),
    "of bands": (
        grey(7000, 7000, 64, 2, t259=(3, [8]), t277=(3, [9]), t338=(3, [0] * 6)),
        "a TIFF of 9 bands of uint64 takes 3528000000 bytes",
    ),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_claims_are_checked_before_anything_is_allocated(case, peak_bytes):
    fields, reason = CLAIMS[case]
    payload = tiff((fields, DEFLATED))
    with pytest.raises(ImageError, match=reason) as caught:
        DecodePolicy().decode(payload)
    assert caught.value.status == "too_large"
    assert peak_bytes() < 1 << 20


def test_a_codec_that_libtiff_was_built_without_is_named(monkeypatch):
    def refuse(*_):
        raise OSError("libtiff: … compression support is not configured")

    monkeypatch.setattr(libtiff, "decompressed", refuse)
    payload = tiff((grey(100, 60, t259=(3, [50000])), bytes(9)))
    with pytest.raises(
        ImageError, match=r"this build of Pillow has no Zstandard .Compression 50000"
    ):
        DecodePolicy().decode(payload)


def test_threads_do_not_mix_up_damage():
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    sink = io.BytesIO()
    tifffile.imwrite(sink, values, photometric="rgb", compression="lzw", metadata=None)
    broken = tiff((grey(100, 60, t259=(3, [5])), b"\xff" * 9))

    def work(damaged: bool) -> int:
        if not damaged:
            return int((DecodePolicy().decode(sink.getvalue()).pixels == values).all())
        with pytest.raises(ImageError, match="libtiff: Using code"):
            DecodePolicy().decode(broken)
        return 1

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, [i % 2 == 0 for i in range(400)])) == 400
