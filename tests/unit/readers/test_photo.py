import io

import numpy as np
import pytest
from PIL import Image

import samseg
from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy
from samseg.readers.photo import read_photo


@pytest.fixture
def photo(tmp_path):
    """Write a PNG that EXIF turns by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    sink = io.BytesIO()
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(sink, "PNG", exif=exif)
    path = tmp_path / "photo.png"
    path.write_bytes(sink.getvalue())
    return path


@pytest.mark.parametrize(
    "form", [str, lambda p: p, lambda p: p.as_uri()], ids=["str", "path", "uri"]
)
def test_a_photo_is_upright(photo, form):
    assert read_photo(form(photo)).pixels.shape == (30, 20, 3)


def test_limits_apply(photo):
    with pytest.raises(ImageError, match=r"photo\.png.*decode\.max_pixels"):
        read_photo(photo, DecodePolicy(max_pixels=10))


@pytest.mark.parametrize("name", ["missing.png", "text.png"])
def test_an_unreadable_photo_is_named(tmp_path, name):
    (tmp_path / "text.png").write_text("no image")
    for path in (str(tmp_path / name), (tmp_path / name).as_uri()):
        with pytest.raises(ImageError, match=rf"cannot read the image .*{name}"):
            read_photo(path)


def test_a_segmenter_takes_a_path(photo):
    segmenter = samseg.load_segmenter("tiny", "cpu", points_per_side=1)
    assert segmenter.segment(photo).masks.size == (30, 20)
    assert segmenter.prompt(str(photo), boxes=[2, 2, 15, 25]).masks.size == (30, 20)
