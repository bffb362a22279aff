"""Every kind of picture that well-known writers can write is read right, or refused.

`uv run python -m tests.unit.readers.decode.test_kinds` writes the table of all kinds.
"""

import sys

import pytest

from tests.unit.readers.decode import kinds, kinds_of_bytes, kinds_of_pillow

KINDS = {
    **{f"tifffile, {dtype}": lambda dtype=dtype: kinds.of_dtype(dtype) for dtype in kinds.DTYPES},
    "tifffile, 1 to 15 bits, palettes": kinds.of_odd_depths,
    "Pillow, TIFF": kinds_of_pillow.of_pillow_tiffs,
    "tifffile and Pillow, TIFF of JPEGs and other pictures": kinds_of_pillow.of_coded_tiffs,
    "Pillow, other containers": kinds_of_pillow.of_pillow_others,
    "OpenCV": kinds_of_pillow.of_opencv,
    "imagecodecs, JPEG 2000": kinds_of_bytes.of_jpeg_2000,
    "imagecodecs, JPEG": kinds_of_bytes.of_jpeg,
    "imagecodecs, AVIF": kinds_of_bytes.of_avif,
    "own bytes, BMP": kinds_of_bytes.of_bmp,
    "own bytes, PNG": kinds_of_bytes.of_png,
    "own bytes, PNM": kinds_of_bytes.of_pnm,
}


@pytest.mark.parametrize("group", KINDS)
def test_every_kind_is_the_known_picture_or_refused_by_its_reason(group):
    found = [(kind.name, kinds.outcome(kind)) for kind in KINDS[group]()]
    assert [each for each in found if each[1].startswith("wrong")] == []
    assert any(result == "equal" for _, result in found)


if __name__ == "__main__":
    sys.stdout.write(kinds.table({name: yielded() for name, yielded in KINDS.items()}))
