"""Pictures of every kind that tifffile can write, each with what samseg should read.

What is expected is computed from the written samples by the rules that
`samseg.readers.decode.tiff` states, without its code.
"""

import ctypes
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import _imaging

from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy

SIZE = (21, 18)
"""Height and width: neither is a multiple of a tile or strip."""

BEHIND = (255, 255, 255)
UNREAD = r"^a TIFF.* is not read: .*; convert it to 8-bit RGB$"
UNNAMED = r"^a TIFF of 8 bands of \w+ is not read: its tags do not say which bands are red"
UNNAMED_SECOND = r"^a TIFF of 2 bands of \w+ is not read: its tags do not say what its second band"


class Kind(NamedTuple):
    """One file.

    Attributes:
        name: what it holds.
        payload: the file.
        expected: (h, w, 3) uint8, or a pattern of the reason why it is refused.
        tolerance: largest difference of a channel; 0 unless rounding or compression blurs it.
    """

    name: str
    payload: bytes
    expected: np.ndarray | str
    tolerance: float = 0


def outcome(kind: Kind) -> str:
    """Return `equal`, `refused: ...` as expected, or `wrong: ...`."""
    try:
        pixels = DecodePolicy().decode(kind.payload).pixels
    except ImageError as e:
        message = str(e)
        known = isinstance(kind.expected, str) and re.search(kind.expected, message)
        short = re.sub(r"^a TIFF.* is not read: |; convert .*", "", message)
        return f"refused: {short}" if known else f"wrong: refused {message}"
    if isinstance(kind.expected, str):
        return "wrong: not refused"
    if pixels.shape != kind.expected.shape:
        return f"wrong: {pixels.shape}"
    difference = np.abs(pixels.astype(int) - kind.expected).max()
    return "equal" if difference <= kind.tolerance else f"wrong: differs by {difference}"


def scaled(values, low, high):
    """Scale to 0..255 in extended precision."""
    real = values.astype(np.longdouble)
    return np.rint(255 * (real - low) / (np.longdouble(high) - low)).clip(0, 255).astype(int)


def span_of(values):
    """Return the range of a type; of floats, that of the values."""
    if values.dtype.kind == "f":
        return float(values.min()), float(values.max())
    info = np.iinfo(values.dtype)
    return info.min, info.max


def over_white(colour, alpha, associated=False):
    """Composite 8-bit colours (h, w, 3) on white."""
    opaque = alpha[..., None] / 255
    front = colour if associated else colour * opaque
    return np.rint(front + 255 * (1 - opaque)).clip(0, 255).astype(int)


def grey(values):
    return np.repeat(values[..., :1], 3, axis=2)


def cmyk_to_rgb(c):
    """Convert 8-bit CMYK as Pillow does: rounded products."""
    key = 255 - c[..., 3:]
    return key - np.rint(c[..., :3] * key / 255).astype(int)


def lab_to_rgb(values):
    """Convert CIELab of 8 or 16 bits to sRGB by the formulas of CIE 15 and IEC 61966-2-1.

    Colours are adapted from a D50 to a D65 white with Bradford's matrix.
    """
    size = values.dtype.itemsize
    signed = np.ascontiguousarray(values[..., 1:]).view(f"i{size}") / 256 ** (size - 1)
    y = (100 * (values[..., 0] / np.iinfo(values.dtype).max) + 16) / 116
    f = np.stack([y + signed[..., 0] / 500, y, y - signed[..., 1] / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * (0.9642, 1, 0.8249)
    to_linear = [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
    linear = (xyz @ np.transpose(to_linear)).clip(0, 1)
    curved = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return np.rint(255 * curved).astype(int)


def noise(dtype, channels, high=None):
    """Return samples over the full range of a type, its ends included."""
    rng, dtype = np.random.default_rng(channels), np.dtype(dtype)
    shape = (*SIZE, channels)
    if dtype.kind == "f":
        values = rng.normal(0, 100, shape).astype(dtype)
    else:
        low, top = np.iinfo(dtype).min, np.iinfo(dtype).max if high is None else high
        values = rng.integers(low, top, shape, dtype=dtype, endpoint=True)
        values[0, 0], values[0, 1] = low, top
    return values


def alpha8(values):
    a = values[..., -1]
    return scaled(a, 0, 1 if a.dtype.kind == "f" else np.iinfo(a.dtype).max)


def _rgb(v):
    return scaled(v[..., :3], *span_of(v[..., :3]))


def _grey(v):
    return grey(scaled(v[..., :1], *span_of(v[..., :1])))


def _only_unsigned(read, reason):
    return lambda v: read(v) if v.dtype.kind == "u" else reason


_PREMULTIPLIED = _only_unsigned(
    lambda v: over_white(_rgb(v), alpha8(v), True), "multiplied by alpha are read in unsigned"
)
_CMYK = _only_unsigned(
    lambda v: cmyk_to_rgb(scaled(v, *span_of(v))), "CMYK is read with unsigned samples"
)


def _cielab(v):
    return lab_to_rgb(v) if v.dtype in (np.uint8, np.uint16) else UNREAD


_MEANINGS = {
    "WhiteIsZero": ("miniswhite", 1, (), lambda v: 255 - _grey(v)),
    "BlackIsZero": ("minisblack", 1, (), _grey),
    "grey, alpha": ("minisblack", 2, (2,), lambda v: over_white(_grey(v), alpha8(v))),
    "RGB": ("rgb", 3, (), _rgb),
    "RGB, alpha": ("rgb", 4, (2,), lambda v: over_white(_rgb(v), alpha8(v))),
    "RGB, associated alpha": ("rgb", 4, (1,), _PREMULTIPLIED),
    "RGB, 1 band more": ("rgb", 4, (0,), _rgb),
    "RGB, 3 bands more": ("rgb", 6, (0, 0, 0), _rgb),
    "CMYK": ("separated", 4, (), _CMYK),
    "2 bands": ("minisblack", 2, (0,), lambda v: UNNAMED_SECOND),
    "8 bands": ("minisblack", 8, (0,) * 7, lambda v: UNNAMED),
    "CIELab": ("cielab", 3, (), _cielab),
}
"""PhotometricInterpretation, channels, ExtraSamples and the expected picture, by name."""

DTYPES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
_CODECS = {
    **{"none": {}, "LZW": {"compression": "lzw"}, "deflate": {"compression": "zlib"}},
    **{"PackBits": {"compression": "packbits"}, "LZMA": {"compression": "lzma"}},
    **{"Zstandard": {"compression": "zstd"}, "LERC": {"compression": "lerc"}},
    **{f"{c}, predictor": {"compression": c, "predictor": True} for c in ("lzw", "zlib", "zstd")},
}
CLIPPED = 30
"""Largest difference of colours beyond sRGB, which are clipped at other stages."""

HAS_ZSTD = bool(ctypes.CDLL(_imaging.__file__).TIFFIsCODECConfigured(50000))
"""Whether Pillow's libtiff has Zstandard; early wheels do not."""

_UNREAD_CODECS = ("LERC",) if HAS_ZSTD else ("LERC", "Zstandard", "zstd, predictor")
_SEGMENTS = ({}, {"rowsperstrip": 5}, {"tile": (16, 32)})


def written(values, planar, **options):
    sink = io.BytesIO()
    separate = planar and values.shape[-1] > 1
    stored = np.ascontiguousarray(np.moveaxis(values, 2, 0)) if separate else values
    stored = stored[..., 0] if values.shape[-1] == 1 else stored
    layout = {"planarconfig": "separate" if separate else "contig"} if values.shape[-1] > 1 else {}
    tifffile.imwrite(sink, stored, metadata=None, **layout, **options)
    return sink.getvalue()


def of_dtype(dtype: str) -> Iterator[Kind]:
    """Yield every layout, byte order, codec and meaning of samples of one type."""
    for name, (photometric, channels, extra, expected) in _MEANINGS.items():
        values = noise(dtype, channels)
        if values.dtype.kind == "f" and extra and extra[0]:
            values[..., -1] = np.abs(values[..., -1]) / np.abs(values[..., -1]).max()
        picture = expected(values)
        options = {"photometric": photometric} | ({"extrasamples": extra} if extra else {})
        for (codec, how), planar, order, segments in itertools.product(
            _CODECS.items(), (False, True), "<>", _SEGMENTS
        ):
            if planar and channels == 1:
                continue
            chosen = options | how | segments | {"byteorder": order, "bigtiff": order == ">"}
            try:
                payload = written(values, planar, **chosen)
            except (ValueError, KeyError, TypeError, RuntimeError):
                continue  # tifffile does not write it
            what = UNREAD if codec in _UNREAD_CODECS else picture
            label = f"{dtype} {name}, {'planar' if planar else 'chunky'}, {order}, {codec}"
            tolerance = CLIPPED if name == "CIELab" else int(values.dtype.kind == "f")
            yield Kind(label, payload, what, tolerance)


def of_odd_depths() -> Iterator[Kind]:
    """Yield unsigned samples of 1 to 15 bits, and palettes."""
    for bits, (name, channels), order, segments in itertools.product(
        (*range(1, 8), *range(9, 16)),
        (("miniswhite", 1), ("minisblack", 1), ("rgb", 3)),
        "<>",
        _SEGMENTS,
    ):
        if bits > 8 and order == ">":
            continue  # tifffile packs swapped samples, which it does not read itself
        values = noise("u1" if bits < 8 else "u2", channels, (1 << bits) - 1)
        eight = scaled(values, 0, (1 << bits) - 1)
        picture = eight if channels == 3 else grey(255 - eight if name == "miniswhite" else eight)
        try:
            payload = written(
                values, False, photometric=name, bitspersample=bits, byteorder=order, **segments
            )
        except (ValueError, KeyError, TypeError):
            continue
        yield Kind(f"{bits} bits {name}, {order}", payload, picture)
    for dtype, (codec, how), segments in itertools.product(
        ("u1", "u2"), _CODECS.items(), _SEGMENTS
    ):
        values = noise(dtype, 1)
        entries = np.random.default_rng(1).integers(
            0, 65536, (3, np.iinfo(dtype).max + 1), dtype=np.uint16
        )
        payload = written(values, False, photometric="palette", colormap=entries, **how, **segments)
        picture = (entries >> 8).T[values[..., 0]].astype(int)
        yield Kind(
            f"{dtype} palette, {codec}", payload, UNREAD if codec in _UNREAD_CODECS else picture
        )


def table(rows: dict[str, Iterable[Kind]]) -> str:
    """Return how many kinds of each row are equal, refused and wrong, and the reasons."""
    reasons: Counter[str] = Counter()
    lines = ["| written by | kinds | equal | refused | wrong |", "|---|---|---|---|---|"]
    for name, kinds in rows.items():
        found = Counter(map(outcome, kinds))
        refused = {what: n for what, n in found.items() if what.startswith("refused")}
        reasons.update(refused)
        total, equal, declined = found.total(), found["equal"], sum(refused.values())
        lines.append(f"| {name} | {total} | {equal} | {declined} | {total - equal - declined} |")
    lines += ["", "| reason of refusal | kinds |", "|---|---|"]
    lines += [f"| {what.removeprefix('refused: ')} | {n} |" for what, n in reasons.most_common()]
    return "\n".join(lines) + "\n"
