"""Damaged files of every container: a picture or an `ImageError`, and nothing else."""

import io

import numpy as np
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy

from .test_policy import GREY16, POLICY, UNUSUAL, encoded, photo


def _tiff(values, **options):
    sink = io.BytesIO()
    tifffile.imwrite(sink, values, metadata=None, **options)
    return sink.getvalue()


DEEP = np.random.default_rng(0).integers(0, 4096, (40, 36, 3), dtype=np.uint16)
SEEDS = [UNUSUAL[name][0] for name in sorted(UNUSUAL)]
SEEDS += [
    _tiff(np.moveaxis(DEEP, 2, 0).copy(), photometric="rgb", planarconfig="separate"),
    _tiff(DEEP, photometric="rgb", tile=(16, 16), compression="lzw", predictor=True),
    _tiff(DEEP.astype(np.float32), photometric="rgb", compression="zstd", predictor=True),
    _tiff(DEEP, photometric="rgb", compression="lzma", byteorder=">", bigtiff=True),
    _tiff(DEEP, photometric="rgb", compression="packbits", rowsperstrip=7),
    _tiff(DEEP.astype(np.uint8), photometric="rgb", compression="zlib", rowsperstrip=7),
    _tiff(DEEP.astype(np.uint8), photometric="rgb", compression="jpeg", tile=(16, 16)),
    _tiff(DEEP[..., 0], photometric="miniswhite", bitspersample=12),
    _tiff(
        (DEEP[..., 0] % 256).astype(np.uint8),
        photometric="palette",
        colormap=np.arange(768, dtype=np.uint16).reshape(3, 256) * 80,
    ),
    encoded(photo().convert("1"), "TIFF", compression="group4"),
    encoded(photo(), "JPEG2000"),
    encoded(Pillow.fromarray(GREY16), "JPEG2000", no_jp2=True),
    encoded(photo(), "AVIF", speed=10),
    encoded(photo(), "JPEG", progressive=True),
    encoded(photo(), "PNG", icc_profile=b"x" * 600),
]


@settings(max_examples=800, deadline=None)
@given(
    st.integers(0, len(SEEDS) - 1),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
)
def test_damaged_files_decode_or_raise_an_image_error(seed, cut, changes):
    payload = bytearray(SEEDS[seed])
    for where, value in changes:
        payload[min(len(payload) - 1, int(where * len(payload)))] = value
    payload = bytes(payload[: len(payload) if cut > 0.7 else int(cut / 0.7 * len(payload))])
    try:
        image = DecodePolicy(max_pixels=1_000_000).decode(payload)
    except ImageError as e:
        assert e.status in ("undecodable", "too_large")
    else:
        assert image.pixels.ndim == 3 and image.pixels.shape[2] == 3


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"II*\0", b"MM\0*", b"BM",
                        b"GIF89a", b"P5 ", b"P6\n", b""]), st.binary(max_size=300))  # fmt: skip
def test_random_bytes_after_a_signature_raise_an_image_error(signature, noise):
    try:
        POLICY.decode(signature + noise)
    except ImageError as e:
        assert e.message
