"""Pictures of every kind that Pillow and OpenCV can write, each with what samseg should read."""

import io
import itertools
from collections.abc import Iterator

import cv2
import numpy as np
import tifffile
from PIL import Image as Pillow

from tests.unit.readers.decode.kinds import (
    CLIPPED,
    HAS_ZSTD,
    SIZE,
    UNREAD,
    Kind,
    alpha8,
    cmyk_to_rgb,
    grey,
    lab_to_rgb,
    noise,
    over_white,
    scaled,
    span_of,
)

UNKNOWN = "which is not read; convert it to JPEG or PNG$"
BLUR = 12
"""Largest difference that lossy compression of a smooth picture leaves at its best quality."""


def smooth(channels):
    """Return 8-bit samples (h, w, channels) that JPEG at its best quality hardly changes."""
    y, x = np.mgrid[:48, :64]
    planes = [x * 2 + 40, y * 3 + 20, x + y + 90, 200 - 2 * y]
    return np.stack(planes[:channels], -1).astype(np.uint8)


def _saved(image, format, **options):
    sink = io.BytesIO()
    image.save(sink, format, **options)
    return sink.getvalue()


def _pictures():
    """Yield a Pillow image of each mode, with the picture that it shows."""
    one, two, three, four = (noise("u1", n) for n in (1, 2, 3, 4))
    bits = (one[..., 0] > 127).astype(np.uint8) * 255
    yield Pillow.fromarray(bits).convert("1"), grey(bits[..., None])
    yield Pillow.fromarray(one[..., 0]), grey(one)
    yield Pillow.fromarray(two), over_white(grey(two), two[..., 1])
    indexed = Pillow.fromarray(one[..., 0] % 16)
    indexed.putpalette(range(48))
    yield indexed, np.arange(48).reshape(16, 3)[one[..., 0] % 16]
    yield Pillow.fromarray(three), three
    yield Pillow.fromarray(four), over_white(four[..., :3], four[..., 3])
    yield Pillow.frombytes("CMYK", SIZE[::-1], four.tobytes()), cmyk_to_rgb(four.astype(int))
    luma = Pillow.frombytes("YCbCr", SIZE[::-1], three.tobytes())
    yield luma, np.asarray(luma.convert("RGB"))
    yield Pillow.frombytes("LAB", SIZE[::-1], three.tobytes()), lab_to_rgb(three)
    deep = noise("u2", 1)
    yield Pillow.fromarray(deep[..., 0]), grey(scaled(deep, 0, 65535))
    for dtype in ("i4", "f4"):
        values = noise(dtype, 1)
        yield Pillow.fromarray(values[..., 0]), grey(scaled(values, *span_of(values)))


def of_pillow_tiffs() -> Iterator[Kind]:
    """Yield TIFFs of each mode and codec that Pillow writes without loss."""
    codecs = (None, "tiff_lzw", "packbits", "tiff_adobe_deflate", "tiff_deflate", "tiff_lzma")
    codecs += ("zstd",) * HAS_ZSTD
    faxes = ("group3", "group4", "tiff_ccitt", "tiff_raw_16")
    strips, order = ({}, {"strip_size": 200}), (False, True)
    for (image, picture), codec, strip, big in itertools.product(
        _pictures(), codecs + faxes, strips, order
    ):
        if codec in faxes and image.mode != "1":
            continue  # before version 13 Pillow crashes when it writes these
        try:
            payload = _saved(image, "TIFF", compression=codec, big_tiff=big, **strip)
        except (OSError, ValueError, KeyError):
            continue
        picture = UNREAD if codec == "tiff_raw_16" else picture
        tolerance = {"F": 1, "LAB": CLIPPED}.get(image.mode, 0)
        if image.mode == "YCbCr" and codec is not None:
            tolerance = 2  # libtiff and Pillow round the conversion differently
        yield Kind(f"Pillow TIFF {image.mode} {codec}", payload, picture, tolerance)


def of_coded_tiffs() -> Iterator[Kind]:
    """Yield TIFFs whose strips and tiles are JPEGs and the like, from tifffile and Pillow."""
    for codec, (photometric, channels), planar, segments in itertools.product(
        ("jpeg", "webp", "png", "jpeg2000", "jpegxl"),
        (("minisblack", 1), ("miniswhite", 1), ("rgb", 3), ("ycbcr", 3), ("separated", 4)),
        ("contig", "separate"),
        ({}, {"rowsperstrip": 20}, {"tile": (16, 32)}),
    ):
        values = smooth(channels)
        options = {"photometric": photometric, "compression": codec, **segments}
        if codec in ("jpeg", "webp"):
            options["compressionargs"] = {"level": 100}
        stored = values[..., 0] if channels == 1 else values
        if channels > 1:
            options["planarconfig"] = planar
            stored = np.moveaxis(values, 2, 0).copy() if planar == "separate" else values
        elif planar == "separate":
            continue
        sink = io.BytesIO()
        try:
            tifffile.imwrite(sink, stored, metadata=None, **options)
        except (ValueError, KeyError, TypeError, RuntimeError):
            continue
        picture = values if channels == 3 else grey(values)
        picture = cmyk_to_rgb(values.astype(int)) if channels == 4 else picture
        picture = 255 - picture if photometric == "miniswhite" else picture
        if photometric == "ycbcr":  # tifffile takes the samples for YCbCr
            picture = np.asarray(
                Pillow.frombytes("YCbCr", (64, 48), values.tobytes()).convert("RGB")
            )
        unread = codec == "jpegxl" or (codec != "jpeg" and photometric == "ycbcr")
        what = UNREAD if unread else picture
        exact = codec in ("png", "jpeg2000")
        label = f"{codec} {photometric} {planar}"
        yield Kind(label, sink.getvalue(), what, 0 if exact else BLUR)
    for codec, alpha in itertools.product(("webp", "png", "jpeg2000"), (255, 120)):
        values = np.concatenate([smooth(3), np.full((48, 64, 1), alpha, np.uint8)], axis=2)
        sink = io.BytesIO()
        options = {"photometric": "rgb", "extrasamples": [2], "metadata": None, "rowsperstrip": 20}
        options |= {"compressionargs": {"level": 100}} if codec == "webp" else {}
        tifffile.imwrite(sink, values, compression=codec, **options)
        picture = over_white(values[..., :3], values[..., 3])
        tolerance = BLUR if codec == "webp" else 0
        yield Kind(f"{codec} RGBA, alpha {alpha}", sink.getvalue(), picture, tolerance)
    for mode, quality in itertools.product(("L", "RGB", "CMYK", "YCbCr"), (95, 100)):
        image = Pillow.fromarray(smooth(3)).convert(mode)
        payload = _saved(image, "TIFF", compression="jpeg", quality=quality)
        expected = np.asarray(image.convert("RGB"))
        yield Kind(f"Pillow TIFF {mode} jpeg", payload, expected, BLUR)


_BARE, _TILED = {"no_jp2": True}, {"tile_size": (16, 16)}
_UNTRUE = {"CMYK": (_BARE,), "YCbCr": (_BARE,), "I;16": (_TILED,)}
"""JPEG 2000 that does not say what its colours are, or that Pillow writes with an error."""

_KEPT = {
    **{"PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "WEBP": ("RGB", "RGBA")},
    **{"BMP": ("1", "L", "P", "RGB"), "GIF": ("1", "L", "P")},
    **{"PPM": ("1", "L", "RGB", "I;16", "F")},
    "JPEG2000": ("L", "LA", "RGB", "RGBA", "YCbCr", "CMYK", "I;16"),
}
"""Modes that Pillow writes as they are."""


def of_pillow_others() -> Iterator[Kind]:
    """Yield the other containers that Pillow writes."""
    lossless = {
        "PNG": [{}, {"optimize": True}],
        "WEBP": [{"lossless": True, "exact": True}],
        "BMP": [{}],
        "GIF": [{}, {"interlace": 0}],
        "PPM": [{}],
        "JPEG2000": [{"irreversible": False}, _BARE, _TILED],
    }
    for (image, picture), (format, choices) in itertools.product(_pictures(), lossless.items()):
        if image.mode not in _KEPT[format]:
            continue
        for options in choices:
            if format == "JPEG2000" and options in _UNTRUE.get(image.mode, ()):
                continue
            try:
                payload = _saved(image, format, **options)
            except (OSError, ValueError, KeyError):
                continue
            yield Kind(f"Pillow {format} {image.mode}", payload, picture, image.mode == "F")
    lossy = {
        "JPEG": [
            {"quality": 95, "progressive": p, "subsampling": s} for p in (0, 1) for s in (0, 2)
        ],
        "WEBP": [{"quality": 100}],
        "AVIF": [{"quality": 100, "subsampling": s} for s in ("4:4:4", "4:2:0")],
        "JPEG2000": [{"irreversible": True}],
    }
    for mode, (format, choices) in itertools.product(("L", "RGB", "CMYK", "YCbCr"), lossy.items()):
        image = Pillow.fromarray(smooth(3)).convert(mode)
        for options in choices:
            try:
                payload = _saved(image, format, **options)
            except (OSError, ValueError, KeyError):
                continue
            yield Kind(f"Pillow {format} {mode}", payload, np.asarray(image.convert("RGB")), BLUR)


def of_opencv() -> Iterator[Kind]:
    """Yield every container, type and number of channels that OpenCV writes."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    unread = (".pam", ".hdr", ".exr", ".ras", ".jxl")
    extensions = (".png", ".tiff", ".bmp", ".pgm", ".ppm", ".pnm", ".pbm", ".pfm", ".gif", ".jp2")
    for extension, dtype, channels in itertools.product(
        (*extensions, ".jpg", ".webp", ".avif", *unread),
        ("u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8"),
        (1, 3, 4),
    ):
        exact = extension not in (".jpg", ".webp", ".avif", ".gif")
        values = noise(dtype, channels) if exact or dtype != "u1" else smooth(channels)
        for options in _opencv_options(extension):
            try:
                done, payload = cv2.imencode(extension, values, options)
            except cv2.error:
                continue
            if not done or not _kept(extension, dtype, channels):
                continue
            label = f"OpenCV {extension} {dtype} x {channels} {options}"
            what = UNKNOWN if extension in unread else _shown(extension, values)
            tolerance = 0 if exact else BLUR
            tolerance = 1 if values.dtype.kind == "f" else tolerance
            yield Kind(label, payload.tobytes(), what, tolerance)


def _opencv_options(extension):
    if extension in (".tiff",):
        codecs = (1, 5, 8, 32946, 32773, 50000)
        rest = [[], [cv2.IMWRITE_TIFF_ROWSPERSTRIP, 4]]
        pairs = itertools.product(codecs, (1, 2, 3), rest)
        return [
            [cv2.IMWRITE_TIFF_COMPRESSION, c, cv2.IMWRITE_TIFF_PREDICTOR, p, *more]
            for c, p, more in pairs
        ]
    if extension in (".pgm", ".ppm", ".pnm", ".pbm"):
        return [[cv2.IMWRITE_PXM_BINARY, binary] for binary in (0, 1)]
    if extension == ".webp":
        return [[cv2.IMWRITE_WEBP_QUALITY, 100], [cv2.IMWRITE_WEBP_QUALITY, 101]]
    if extension == ".jpg":
        return [[cv2.IMWRITE_JPEG_QUALITY, 98, cv2.IMWRITE_JPEG_PROGRESSIVE, p] for p in (0, 1)]
    if extension == ".avif":
        return [[cv2.IMWRITE_AVIF_QUALITY, 100]]
    return [[]]


def _kept(extension, dtype, channels):
    """Return whether OpenCV writes such samples as they are; it converts others to 8 bits."""
    if extension == ".gif":
        return dtype == "u1" and channels == 1  # it reduces colours
    of_16 = (".png", ".pgm", ".ppm", ".pnm", ".jp2", ".pam")
    kept = {".tiff": ("u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8"), ".pfm": ("f4",)}
    kept |= {".hdr": ("f4",), ".exr": ("f4",)}
    return dtype in kept.get(extension, ("u1", "u2") if extension in of_16 else ("u1",))


def _shown(extension, values):
    if extension == ".pfm" and values.shape[2] > 1:
        return UNKNOWN
    if extension in (".pbm",):
        values = (values > 0).astype(np.uint8) * 255
    span = span_of(values[..., :3])
    eight = scaled(values, *span)
    if values.shape[2] == 4 and extension == ".tiff":
        eight[..., 3] = alpha8(values)
    if values.dtype == np.uint16 and values.shape[2] > 1 and extension == ".png":
        eight = (values >> 8).astype(int)  # what Pillow keeps
    if values.shape[2] == 1:
        return grey(eight)
    colour = eight[..., 2::-1]
    drawn = extension not in (".jpg", ".ppm", ".pnm", ".pgm", ".pbm")
    return over_white(colour, eight[..., 3]) if values.shape[2] == 4 and drawn else colour
