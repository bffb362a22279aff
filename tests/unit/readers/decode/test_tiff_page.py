"""Which page of a TIFF is the photo, and the reasons why pages are not read."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy
from samseg.readers.decode.tiff_page import chosen_directory, described, page_of
from samseg.readers.decode.tiff_tags import directories
from tests.unit.readers.decode.tiffs import grey, tiff


def page(width, **more):
    return grey(width, 1, **more), bytes(width)


FULL, OTHER = page(40), page(41)
THUMBNAIL, MASK, OLD_THUMBNAIL = (
    page(8, t254=(4, [1])),
    page(9, t254=(4, [4])),
    page(10, t255=(3, [2])),
)
CHOSEN = {
    "one page": ((FULL,), 40, ()),
    "two photos": ((FULL, OTHER), 40, ("first_frame",)),
    "a pyramid": ((FULL, THUMBNAIL, THUMBNAIL), 40, ()),
    "a thumbnail first": ((THUMBNAIL, FULL), 40, ("thumbnail_skipped",)),
    "an old thumbnail first": ((OLD_THUMBNAIL, FULL), 40, ("thumbnail_skipped",)),
    "a mask first": ((MASK, FULL, OTHER), 40, ("first_frame", "thumbnail_skipped")),
    "thumbnails only": ((THUMBNAIL, OLD_THUMBNAIL, MASK), 10, ()),
    "a page of a stack": ((page(40, t254=(4, [2])), OTHER), 40, ("first_frame",)),
}


@pytest.mark.parametrize("case", CHOSEN)
def test_the_first_page_of_full_resolution_is_the_photo(case):
    pages, width, notes = CHOSEN[case]
    image = DecodePolicy().decode(tiff(*pages))
    assert image.pixels.shape == (1, width, 3)
    assert image.note == ",".join(notes)


@pytest.mark.parametrize("compression", [None, "jpeg"])
def test_the_photo_may_be_in_a_sub_directory(compression):
    photo = np.full((40, 64, 3), 200, np.uint8)
    sink = io.BytesIO()
    with tifffile.TiffWriter(sink) as writer:
        options = {"photometric": "rgb", "metadata": None, "compression": compression}
        writer.write(photo[::4, ::4] // 2, subfiletype=1, subifds=1, **options)
        writer.write(photo, subfiletype=0, **options)
    image = DecodePolicy().decode(sink.getvalue())
    np.testing.assert_allclose(image.pixels, photo, atol=2)
    assert image.note == "thumbnail_skipped"


def test_a_damaged_later_page_is_no_error():
    cut = tiff(FULL, OTHER)
    second = [*directories(cut)][1].offset
    assert DecodePolicy().decode(cut[: second + 4]).note == ""


def _multi_page(mode):
    sink = io.BytesIO()
    image = Pillow.new(mode, (40, 30), 1)
    image.save(sink, "TIFF", save_all=True, append_images=[image], compression="group4")
    return sink.getvalue()


def test_pages_of_coded_pictures_are_counted_too():
    assert DecodePolicy().decode(_multi_page("1")).note == "first_frame"


RGB = {"t277": (3, [3]), "photometric": 2}
REFUSED = {
    "8 bands": (grey(1, 1, 16, t277=(3, [8])), "a TIFF of 8 bands of uint16 is not read: its tags"),
    "depths": (grey(1, 1, t258=(3, [5, 6, 5]), **RGB), "channels differ in depth: 5, 6, 5 bits"),
    "24 bits": (grey(1, 1, 24), "a TIFF of 1 band of uint24 is not read: samseg reads no samples"),
    "complex": (grey(1, 1, 64, t339=(3, [6])), "complex, or of mixed formats .SampleFormat 6"),
    "raw": (grey(1, 1, 14, 32803), "a color filter array .raw sensor data"),
    "ICCLab": (grey(1, 1, t277=(3, [3]), photometric=9), "its pixels are ICCLab"),
    "deep CIELab": (grey(1, 1, 32, t277=(3, [3]), photometric=8), "CIELab is read with 8 or 16"),
    "CIELab in JPEG": (
        grey(1, 1, t259=(3, [7]), t277=(3, [3]), photometric=8), "CIELab is not read with JPEG"
    ),
    "inks": (grey(1, 1, t277=(3, [4]), photometric=5, t332=(3, [2])), "its inks are not cyan"),
    "float palette": (grey(1, 1, 32, 3, t339=(3, [3])), "a palette takes unsigned samples"),
    "codec": (grey(1, 1, t259=(3, [50002])), "it is compressed with JPEG XL .Compression 50002"),
    "strange codec": (grey(1, 1, t259=(3, [4711])), "an unknown codec .Compression 4711"),
    "JPEG of 12 bits": (grey(1, 1, 12, t259=(3, [7])), "JPEG .Compression 7. is read with 1 or 8"),
    "a fax in colour": (
        grey(1, 1, 1, 2, t259=(3, [4]), t277=(3, [3])),
        "a TIFF of 3 bands of uint1 is not read: Pillow does not read these with CCITT group 4",
    ),
    "plain 4:2:0": (grey(1, 1, t277=(3, [3]), photometric=6), "YCbCr with fewer chroma samples"),
    "planar 4:2:0": (
        grey(1, 1, t259=(3, [5]), t277=(3, [3]), t284=(3, [2]), photometric=6),
        "is read if compressed and not planar",
    ),
    "odd old JPEG": (grey(8, 8, t259=(3, [6])), "libtiff cannot decode this old JPEG"),
    "deep YCbCr": (grey(1, 1, 16, t277=(3, [3]), photometric=6), "YCbCr is read with 8 bits"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_read_is_refused_by_its_reason(case):
    fields, reason = REFUSED[case]
    with pytest.raises(ImageError, match=reason) as caught:
        DecodePolicy().decode(tiff((fields, bytes(64))))
    assert caught.value.status == "undecodable"
    assert caught.value.message.endswith("convert it to 8-bit RGB")


def test_without_photometric_interpretation_inks_are_cmyk():
    fields = grey(1, 1, t258=(3, [8] * 4), t277=(3, [4]))
    del fields[262]
    cmyk = DecodePolicy().decode(tiff((fields | {332: (3, [1])}, bytes([0, 255, 255, 0]))))
    assert (cmyk.pixels.tolist(), cmyk.note) == ([[[255, 0, 0]]], "cmyk")
    rgba = DecodePolicy().decode(tiff((fields, bytes([0, 255, 255, 255]))))
    assert (rgba.pixels.tolist(), rgba.note) == ([[[0, 255, 255]]], "")


CONTRADICTIONS = {
    "no width": (grey(0, 1), "its size is 0 x 1"),
    "fewer samples than colours": (grey(1, 1, photometric=2), "1 samples per pixel in place of 3"),
    "no samples": (grey(1, 1, t277=(3, [0])), "it has 0 samples per pixel"),
    "no strips": (grey(1, 1, t273=(4, []), t279=(4, [])), "it has 0 of 1 strips or tiles"),
    "text as width": (grey(1, 1, t256=(12, [1.0])), "tag 256 holds no integers"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions_are_damage(case):
    fields, reason = CONTRADICTIONS[case]
    with pytest.raises(ImageError, match=f"damaged TIFF.*{reason}"):
        DecodePolicy().decode(tiff((fields, bytes(8))))


def test_pages_are_described_by_bands_and_type():
    directory, _ = chosen_directory(tiff((grey(1, 1, 32, t339=(3, [3])), bytes(4))))
    assert described(page_of(directory)) == "a TIFF of 1 band of float32"
