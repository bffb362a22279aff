"""HEIC photos, with and without the extra that reads them."""

import io
import sys

import numpy as np
import pytest
from PIL import Image as Pillow

from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy
from samseg.readers.decode.container import is_heic


@pytest.fixture(scope="module")
def photo():
    """A photo, and the same as HEIC."""
    pillow_heif = pytest.importorskip("pillow_heif")
    y, x = np.mgrid[:48, :64]
    pixels = np.stack([2 * x + 40, 3 * y + 20, x + y], -1).astype(np.uint8)
    sink = io.BytesIO()
    pillow_heif.from_pillow(Pillow.fromarray(pixels)).save(sink, quality=100)
    return pixels, sink.getvalue()


def test_heic_is_decoded(photo):
    pixels, payload = photo
    image = DecodePolicy().decode(payload)
    np.testing.assert_allclose(image.pixels, pixels, atol=12)
    assert (image.format, image.note) == ("HEIF", "")


def test_size_is_checked_before_decoding(photo):
    with pytest.raises(ImageError, match="64 x 48 px is more than"):
        DecodePolicy(max_pixels=1000).decode(photo[1])


def test_damage_is_refused(photo):
    for cut in (60, 200, len(photo[1]) - 50):
        with pytest.raises(ImageError) as caught:
            DecodePolicy().decode(photo[1][:cut])
        assert caught.value.status == "undecodable"


def test_the_extra_is_named_without_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"pip install 'samseg\[heic\]'") as caught:
        DecodePolicy().decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert caught.value.status == "undecodable"


@pytest.mark.parametrize(
    ("brands", "heic"),
    [(b"heic\0\0\0\0mif1", True), (b"mif1\0\0\0\0heic", True), (b"mif1\0\0\0\0avif", False),
     (b"avif\0\0\0\0mif1", False), (b"isom\0\0\0\0mp42", False)],
)  # fmt: skip
def test_heic_is_told_by_its_brands(brands, heic):
    assert is_heic(b"\0\0\0\x14ftyp" + brands) == heic
