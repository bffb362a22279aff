"""The decode policy on whole files: refused files, unusual files, warnings."""

import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow

from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy

POLICY = DecodePolicy()


def encoded(image, format, **options):
    sink = io.BytesIO()
    image.save(sink, format, **options)
    return sink.getvalue()


def photo(h=48, w=64):
    y, x = np.mgrid[:h, :w]
    return Pillow.fromarray(
        np.stack([x * 255 // max(1, w - 1), y * 255 // max(1, h - 1), (x + y) % 256], -1).astype(
            np.uint8
        )
    )


def png_claiming(w, h):
    """A PNG whose header claims a size that its few bytes do not hold."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def flipped(payload, at):
    return payload[:at] + bytes([payload[at] ^ 0xFF]) + payload[at + 1 :]


JPEG = encoded(photo(), "JPEG", quality=90)
PNG = encoded(photo(), "PNG")

BMP = encoded(photo(), "BMP")
"""Of 24 bits: a header of 14 bytes and one of 40, with the depth at 28 and the coding at 30."""

REFUSED = {
    "BMP of 2 bits": (BMP[:28] + b"\2" + BMP[29:], "undecodable", "pixel depth (2); convert it"),
    "BMP, RLE of 24 bits": (
        BMP[:30] + b"\4" + BMP[31:],
        "undecodable",
        "a BMP form that",
    ),
    "empty file": (b"", "undecodable", "empty"),
    "HTML": (b"\n <!DOCTYPE html><html>404</html>", "undecodable", "an HTML page"),
    "random bytes": (bytes(range(128, 200)), "undecodable", "not an image of a known format"),
    "truncated JPEG": (JPEG[:-60], "undecodable", "damaged JPEG, 64 x 48 px"),
    "JPEG header only": (JPEG[:10], "undecodable", ""),
    "truncated PNG": (PNG[: len(PNG) // 2], "undecodable", "damaged PNG"),
    "PNG without its end": (PNG[:-12], "undecodable", "damaged PNG"),
    "PNG, bad header CRC": (flipped(PNG, 30), "undecodable", ""),
    "PNG, bad data CRC": (flipped(PNG, len(PNG) - 14), "undecodable", "damaged PNG"),
    "PNG, bad data": (flipped(PNG, len(PNG) // 2), "undecodable", "damaged PNG"),
    "PNG with less data than its header claims": (
        png_claiming(4000, 3000),
        "undecodable",
        "4000 x 3000 px",
    ),
    "bomb above the limit": (png_claiming(9000, 9000), "too_large", "9000 x 9000 px"),
    "bomb above Pillow's warning": (png_claiming(11000, 9000), "too_large", "11000 x 9000 px"),
    "bomb above Pillow's limit": (png_claiming(60000, 60000), "too_large", "decode.max_pixels"),
    "ICO": (encoded(photo(16, 16), "ICO"), "undecodable", "an icon, which is not read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_status_and_reason(case):
    payload, status, reason = REFUSED[case]
    with pytest.raises(ImageError) as caught:
        POLICY.decode(payload)
    assert caught.value.status == status
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


def test_large_files_are_refused_unparsed():
    with pytest.raises(ImageError, match=r"max_bytes") as caught:
        DecodePolicy(max_bytes="1KiB").decode(b"\0" * 1025)
    assert caught.value.status == "too_large"


GREY16 = np.linspace(0, 65535, 48 * 64).reshape(48, 64).astype(np.uint16)
INT32 = GREY16.astype(np.int32) * 9
FLOAT = np.linspace(-3.5, 1000.0, 48 * 64).reshape(48, 64).astype(np.float32)
RED = Pillow.new("RGB", (64, 48), (250, 10, 20))


def _half_transparent():
    image = photo().convert("RGBA")
    image.putalpha(Pillow.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))))
    return image


def _palette(transparent):
    image = RED.quantize(4)
    return encoded(image, "PNG", **({"transparency": 0} if transparent else {}))


def _grey_with_alpha():
    return Pillow.merge("LA", [photo().convert("L"), Pillow.new("L", (64, 48), 0)])


UNUSUAL = {
    "JPEG": (JPEG, "JPEG", ""),
    "PNG": (PNG, "PNG", ""),
    "WEBP": (encoded(photo(), "WEBP", lossless=True), "WEBP", ""),
    "TIFF": (encoded(photo(), "TIFF"), "TIFF", ""),
    "TIFF, deflate": (encoded(photo(), "TIFF", compression="tiff_adobe_deflate"), "TIFF", ""),
    "BMP": (encoded(photo(), "BMP"), "BMP", ""),
    "GIF": (encoded(photo(), "GIF"), "GIF", ""),
    "PPM": (encoded(photo(), "PPM"), "PPM", ""),
    "grey": (encoded(photo().convert("L"), "JPEG"), "JPEG", ""),
    "1 bit": (encoded(photo().convert("1"), "PNG"), "PNG", ""),
    "palette": (_palette(False), "PNG", ""),
    "palette, transparent": (_palette(True), "PNG", "alpha_flattened"),
    "CMYK": (encoded(photo().convert("CMYK"), "JPEG"), "JPEG", "cmyk"),
    "YCbCr TIFF": (encoded(photo().convert("YCbCr"), "TIFF"), "TIFF", ""),
    "alpha": (encoded(_half_transparent(), "PNG"), "PNG", "alpha_flattened"),
    "alpha, opaque": (encoded(photo().convert("RGBA"), "PNG"), "PNG", ""),
    "grey, alpha": (encoded(_grey_with_alpha(), "PNG"), "PNG", "alpha_flattened"),
    "16-bit PNG": (encoded(Pillow.fromarray(GREY16), "PNG"), "PNG", "16_bit"),
    "16-bit TIFF": (encoded(Pillow.fromarray(GREY16), "TIFF"), "TIFF", "16_bit"),
    "16-bit PGM": (b"P5 64 48 65535\n" + GREY16.astype(">u2").tobytes(), "PPM", "16_bit"),
    "16-bit PPM": (
        b"P6 64 48 65535\n" + np.repeat(GREY16, 3).astype(">u2").tobytes(), "PPM", "16_bit"
    ),
    "PPM of maxval 100": (b"P6 64 48 100\n" + bytes(64 * 48 * 3), "PPM", ""),
    "AVIF": (encoded(photo(), "AVIF", speed=10), "AVIF", ""),
    "JPEG 2000": (encoded(photo(), "JPEG2000"), "JPEG2000", ""),
    "32-bit TIFF": (encoded(Pillow.fromarray(INT32), "TIFF"), "TIFF", "32_bit_signed"),
    "float TIFF": (encoded(Pillow.fromarray(FLOAT), "TIFF"), "TIFF", "stretched"),
    "animated GIF": (
        encoded(photo(), "GIF", save_all=True, append_images=[RED]), "GIF", "first_frame"
    ),
    "animated WEBP": (
        encoded(photo(), "WEBP", save_all=True, append_images=[RED], lossless=True),
        "WEBP", "first_frame",
    ),
    "animated PNG": (
        encoded(photo(), "PNG", save_all=True, append_images=[RED]), "PNG", "first_frame"
    ),
    "multi-page TIFF": (
        encoded(photo(), "TIFF", save_all=True, append_images=[RED]), "TIFF", "first_frame"
    ),
    "MPO": (encoded(photo(), "MPO", save_all=True, append_images=[RED]), "MPO", "first_frame"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNUSUAL)
def test_unusual_files_decode_with_a_note_of_what_changed(case):
    payload, format, note = UNUSUAL[case]
    image = POLICY.decode(payload)
    assert image.pixels.shape == (48, 64, 3)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.c_contiguous and image.pixels.flags.writeable
    assert (image.format, image.note) == (format, note)


@pytest.mark.parametrize(
    "case", ["PNG", "WEBP", "TIFF", "BMP", "PPM", "animated PNG", "animated WEBP", "alpha, opaque"]
)
def test_lossless_formats_keep_every_pixel(case):
    np.testing.assert_array_equal(POLICY.decode(UNUSUAL[case][0]).pixels, np.asarray(photo()))


@pytest.mark.parametrize("case", ["16-bit PNG", "16-bit TIFF", "16-bit PGM"])
def test_16_bit_files_are_scaled_not_clipped(case):
    expected = np.rint(GREY16 / 257.0)
    pixels = POLICY.decode(UNUSUAL[case][0]).pixels
    for channel in range(3):
        np.testing.assert_array_equal(pixels[..., channel], expected)


@pytest.mark.parametrize("name", ["AVIF", "JPEG 2000", "WebP"])
def test_a_format_that_pillow_was_built_without_is_named(name, monkeypatch):
    monkeypatch.setattr("PIL.features.check", lambda feature: False)
    payload = UNUSUAL[name.upper() if name == "WebP" else name][0]
    with pytest.raises(ImageError, match=f"this build of Pillow reads no {name}; install"):
        POLICY.decode(payload)


def test_transparent_pixels_become_the_background():
    clear = encoded(Pillow.new("RGBA", (3, 2), (9, 9, 9, 0)), "PNG")
    assert (POLICY.decode(clear).pixels == 255).all()
    green = DecodePolicy(background=(0, 200, 0)).decode(clear)
    assert (green.pixels == (0, 200, 0)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_once(format, orientation):
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(format, {})
    stored = Pillow.new("RGB", (32, 16), (0, 0, 0))
    stored.paste((255, 255, 255), (0, 0, 8, 8))  # a white mark in the stored top left corner
    image = POLICY.decode(encoded(stored, format, exif=exif, **options))
    turned = orientation >= 5
    assert image.pixels.shape == ((32, 16, 3) if turned else (16, 32, 3))
    corner = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    y, x = {"t": 2, "b": -3}[corner[0]], {"l": 2, "r": -3}[corner[1]]
    assert image.pixels[y, x].min() > 200
    assert image.note == ("" if orientation == 1 else "exif_rotated")


@pytest.mark.parametrize("size", [(1, 1), (9000, 1), (1, 9000)])
def test_extreme_sizes(size):
    image = POLICY.decode(encoded(Pillow.new("RGB", size, (1, 2, 3)), "PNG"))
    assert image.pixels.shape == (size[1], size[0], 3)
    assert (image.pixels == (1, 2, 3)).all()


def test_icc_profiles_are_ignored():
    plain = POLICY.decode(PNG).pixels
    profiled = encoded(photo(), "PNG", icc_profile=b"not a profile")
    np.testing.assert_array_equal(POLICY.decode(profiled).pixels, plain)


def test_threads_leak_no_warning_and_restore_the_filters():
    exif_bytes = b"Exif\0\0II*\0\x08\0\0\0\xff\xff"
    warning = encoded(photo(), "JPEG", exif=exif_bytes)
    with pytest.warns(UserWarning, match="EXIF"):
        Pillow.open(io.BytesIO(warning)).getexif()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        before = list(warnings.filters)

        def work():
            for _ in range(20):
                POLICY.decode(warning)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert warnings.filters == before
    assert not seen
