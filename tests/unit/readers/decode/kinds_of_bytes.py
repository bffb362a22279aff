"""Kinds that neither Pillow nor OpenCV writes: some of imagecodecs, and PNG, BMP and PNM here.

Every depth, number of channels and way of interlacing, subsampling or spelling.
"""

import itertools
import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np

from tests.unit.readers.decode.kinds import SIZE, Kind, cmyk_to_rgb, grey, over_white, scaled
from tests.unit.readers.decode.kinds_of_pillow import BLUR, smooth

_ADAM_7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
_PASSES = {0: ((0, 0, 1, 1),), 1: (*_ADAM_7, (0, 1, 1, 2))}
"""First column and row, and the steps, of each pass of a PNG, by its interlacing."""

_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def _noise(bits, channels, high=None):
    """Return integers over the full range of some bits, its ends included."""
    high = (1 << bits) - 1 if high is None else high
    values = np.random.default_rng(bits).integers(0, high, (*SIZE, channels), endpoint=True)
    values[0, 0], values[0, 1] = 0, high
    return values


def _shown(eight):
    """Return the picture of 8-bit channels: grey or RGB, with alpha or not."""
    channels = eight.shape[2]
    colour = grey(eight) if channels < 3 else eight[..., :3]
    return colour if channels % 2 else over_white(colour, eight[..., -1])


def of_jpeg_2000() -> Iterator[Kind]:
    """Yield lossless files and codestreams of 1 to 16 bits."""
    for bits, channels, form in itertools.product(range(1, 17), (1, 2, 3, 4), ("jp2", "j2k")):
        values = _noise(bits, channels)
        stored = values.astype(np.uint8 if bits <= 8 else np.uint16)
        payload = imagecodecs.jpeg2k_encode(
            stored[..., 0] if channels == 1 else stored,
            bitspersample=bits, codecformat=form, reversible=True, level=0,
        )  # fmt: skip
        unread = bits > 8 and channels == 2
        picture = "which is not read; convert it to 8 bits" if unread else None
        picture = picture or _shown(scaled(values, 0, (1 << bits) - 1))
        yield Kind(f"JPEG 2000 {form}, {channels} x {bits}", payload, picture, 1)


def of_png() -> Iterator[Kind]:
    """Yield every colour type, depth and interlacing, and palettes with alpha."""
    for (color, depths), interlaced in itertools.product(_PNG_DEPTHS.items(), (0, 1)):
        for depth in depths:
            values = _noise(depth, _PNG_CHANNELS[color])
            name = f"PNG, colour {color}, {depth} bits, interlaced {interlaced}"
            if color == 3:
                entries = np.random.default_rng(depth).integers(0, 256, (1 << depth, 4))
                palette = _chunk(b"PLTE", entries[:, :3].astype(np.uint8).tobytes())
                found = entries[values[..., 0]]
                yield Kind(name, _png(values, depth, color, interlaced, palette), found[..., :3])
                alpha = _chunk(b"tRNS", entries[:, 3].astype(np.uint8).tobytes())
                payload = _png(values, depth, color, interlaced, palette, alpha)
                yield Kind(f"{name}, alpha", payload, _shown(found))
                continue
            high_bytes = depth == 16 and color != 0  # Pillow keeps them
            eight = values >> 8 if high_bytes else scaled(values, 0, (1 << depth) - 1)
            yield Kind(name, _png(values, depth, color, interlaced), _shown(eight), 1)


def of_pnm() -> Iterator[Kind]:
    """Yield plain and binary bitmaps, grey and colour of every kind of maximum."""
    maxima = (1, 2, 15, 100, 254, 255, 256, 1000, 4095, 65535)
    for magic, most in itertools.product((b"P2", b"P3", b"P5", b"P6"), maxima):
        values = _noise(16, 3 if magic in (b"P3", b"P6") else 1, most)
        header = b"%s\n# a comment\n%d %d\n# another\n%d\n" % (magic, *SIZE[::-1], most)
        body = values.astype(np.uint8 if most < 256 else ">u2").tobytes()
        if magic in (b"P2", b"P3"):
            body = " ".join(map(str, values.ravel())).encode()
        yield Kind(f"{magic}, {most}", header + body, _shown(scaled(values, 0, most)), 1)
    bits = _noise(1, 1)
    header = b" %d %d\n" % SIZE[::-1]
    spelled = "".join(map(str, bits.ravel())).encode()
    bodies = {b"P1": (spelled, b" ".join(spelled[i : i + 1] for i in range(len(spelled))))}
    bodies[b"P4"] = (np.packbits(bits[..., 0].astype(np.uint8), axis=1).tobytes(),)
    for magic, choices in bodies.items():
        for body in choices:
            yield Kind(f"{magic}", magic + header + body, _shown(255 - 255 * bits))


def of_jpeg() -> Iterator[Kind]:
    """Yield every colour space and subsampling."""
    for space, sampling in itertools.product(("RGB", "YCBCR"), ("444", "422", "420", "440", "411")):
        payload = imagecodecs.jpeg_encode(
            smooth(3), level=100, colorspace="RGB", outcolorspace=space, subsampling=sampling
        )
        yield Kind(f"JPEG {space} {sampling}", payload, smooth(3), BLUR)
    for space in ("CMYK", "YCCK"):
        payload = imagecodecs.jpeg_encode(
            smooth(4), level=100, colorspace="CMYK", outcolorspace=space
        )
        inks = 255 - smooth(4).astype(int)  # Adobe stores them inverted
        yield Kind(f"JPEG {space}", payload, cmyk_to_rgb(inks), BLUR)


def of_avif() -> Iterator[Kind]:
    """Yield 8, 10 and 12 bits, grey, RGB and RGBA, and every subsampling."""
    for bits, sampling, alpha in itertools.product(
        (8, 10, 12), ("400", "420", "422", "444"), (False, True)
    ):
        colour = smooth(1) if sampling == "400" else smooth(3)
        values = np.concatenate([colour, smooth(4)[..., 3:]], axis=2) if alpha else colour
        high = (1 << bits) - 1
        deep = np.rint(values / 255 * high).astype(np.uint8 if bits == 8 else np.uint16)
        try:
            payload = imagecodecs.avif_encode(
                deep, level=100, bitspersample=bits, pixelformat=sampling, speed=10
            )
        except (ValueError, RuntimeError):
            continue  # it does not write grey with alpha
        yield Kind(f"AVIF {sampling}, {bits} bits, {alpha}", payload, _shown(values), BLUR)


def of_bmp() -> Iterator[Kind]:
    """Yield palettes of 1, 4 and 8 bits, colours of 15, 24 and 32, upwards and downwards."""
    for bits, upwards in itertools.product((1, 4, 8, 16, 24, 32), (True, False)):
        palette = np.random.default_rng(bits).integers(0, 256, (1 << min(bits, 8), 4))
        if bits <= 8:
            values = _noise(bits, 1)
            picture = palette[values[..., 0]][..., 2::-1]
        elif bits == 16:
            values = _noise(15, 1)
            picture = np.concatenate([scaled(values >> n & 31, 0, 31) for n in (10, 5, 0)], -1)
        else:
            values = _noise(8, bits // 8)
            picture = values[..., 2::-1]
        entries = palette.astype(np.uint8).tobytes() if bits <= 8 else b""
        yield Kind(f"BMP {bits}, {upwards}", _bmp(values, bits, entries, upwards), picture, 1)


def _bmp(values, bits, palette, upwards):
    height, width, _ = values.shape
    rows = []
    for row in values[::-1] if upwards else values:
        if bits < 8:
            unpacked = (row.reshape(-1, 1) >> np.arange(bits)[::-1]) & 1
            packed = np.packbits(unpacked.astype(np.uint8).ravel()).tobytes()
        else:
            packed = row.astype("<u2" if bits == 16 else np.uint8).tobytes()
        rows.append(packed + bytes(-len(packed) % 4))
    start = 54 + len(palette)
    size = (40, width, height if upwards else -height, 1)
    header = struct.pack("<LllHHLLllLL", *size, bits, 0, 0, 0, 0, len(palette) // 4, 0)
    return b"BM" + struct.pack("<LHHL", 0, 0, 0, start) + header + palette + b"".join(rows)


def _chunk(name, body):
    crc = zlib.crc32(name + body)
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)


def _png(values, depth, color, interlaced, *extra):
    height, width, _ = values.shape
    rows = []
    for x, y, step_x, step_y in _PASSES[interlaced]:
        for row in values[y::step_y, x::step_x]:
            bits = (row.reshape(-1, 1) >> np.arange(depth)[::-1]) & 1
            rows.append(b"\0" + np.packbits(bits.astype(np.uint8).ravel()).tobytes())
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    data = _chunk(b"IDAT", zlib.compress(b"".join(rows)))
    parts = [_chunk(b"IHDR", header), *extra, data, _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
