"""One page of a TIFF: what its tags say of its samples, and whether samseg can read it.

Of the pages of a file, the first of full resolution is the photo: reduced copies (thumbnails,
levels of a pyramid) and transparency masks are skipped. Where a file holds reduced copies only, the
largest is the photo.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from samseg.errors import ImageError
from samseg.readers.decode.tiff_tags import Directory, directories

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB = 0, 1, 2, 3, 5, 6, 8
"""Values of the tag PhotometricInterpretation that are read."""

ASSOCIATED, UNASSOCIATED = 1, 2
"""Values of the tag ExtraSamples that stand for alpha."""

NONE, LZW, DEFLATE, PACK_BITS, LZMA, ZSTD = 1, 5, 8, 32773, 34925, 50000
DEFLATES = (DEFLATE, 32946, 50013)
"""Numbers of deflate: Adobe's, the old one of libtiff, and PixTIFF's."""

BYTE_CODECS = (NONE, LZW, *DEFLATES, PACK_BITS, LZMA, ZSTD)
"""Compressions of a stream of bytes, whatever samples these hold."""

FILE_CODECS = (33005, 34712, 34933, 50001)
"""Compressions whose strips or tiles are files that Pillow reads: JPEG 2000, PNG, WebP."""

OLD_JPEG = 6
PICTURE_CODECS = (2, 3, 4, OLD_JPEG, 7)
"""Compressions of pictures of 1 or 8 bits: three of CCITT, old and new JPEG."""

_COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4}
_COLOURS |= {YCBCR: 3, CIELAB: 3}
_UNREAD_COLOURS = {
    **{4: "a transparency mask", 9: "ICCLab", 10: "ITULab"},
    **{32803: "a color filter array (raw sensor data)", 32844: "LogL", 32845: "LogLuv"},
    **{34892: "linear raw sensor data", 51177: "a depth map", 52527: "a semantic mask"},
}
_CODECS = {
    **{1: "no codec", 2: "CCITT RLE", 3: "CCITT group 3", 4: "CCITT group 4", 5: "LZW"},
    **{6: "old JPEG", 7: "JPEG", 8: "deflate", 9: "JBIG", 10: "JBIG", 32946: "deflate"},
    **{32766: "NeXT", 32771: "CCITT RLE-W", 32773: "PackBits", 32809: "ThunderScan"},
    **{33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000"},
    **{34661: "JBIG", 34676: "SGI Log", 34677: "SGI Log24", 34887: "LERC", 34892: "lossy JPEG"},
    **{34925: "LZMA", 34933: "PNG", 34934: "JPEG XR", 22610: "JPEG XR", 50000: "Zstandard"},
    **{50001: "WebP", 50013: "deflate", 50002: "JPEG XL", 52546: "JPEG XL"},
}
_KINDS: dict[int, Literal["u", "i", "f"]] = {1: "u", 2: "i", 3: "f", 4: "u"}
_DEPTHS = {"u": (*range(1, 17), 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}
_FULL_RANGE = [number for n in (0, 255, 128, 255, 128, 255) for number in (n, 1)]
"""ReferenceBlackWhite, in rationals, where luma and chroma span all 8 bits."""

_MOST_CODED = 6
"""Bands of coded pictures that Pillow reads."""

_REDUCED, _MASK = 1, 4
_SUBFILE, _OLD_SUBFILE, _INK_SET = 254, 255, 332


@dataclass(frozen=True)
class TiffPage:
    """One page, as its tags describe it.

    Attributes:
        directory: where its tags are.
        width: pixels in a row, as stored.
        height: rows, as stored.
        kind: of its samples: unsigned (`u`), signed (`i`) or floating-point (`f`).
        bits: of each sample.
        samples: per pixel, colours and others.
        photometric: what the colours mean.
        compression: the codec of its strips or tiles.
        planar: whether each channel is stored on its own.
        extra: what each sample beyond the colours is.
    """

    directory: Directory
    width: int
    height: int
    kind: Literal["u", "i", "f"]
    bits: int
    samples: int
    photometric: int
    compression: int
    planar: bool
    extra: tuple[int, ...]

    @property
    def colours(self) -> int:
        """Number of colour channels, which come first."""
        return _COLOURS[self.photometric]

    @property
    def alpha(self) -> int | None:
        """Index of the alpha channel, if there is one."""
        found = [i for i, kind in enumerate(self.extra) if kind in (ASSOCIATED, UNASSOCIATED)]
        return self.colours + found[0] if found else None

    @property
    def codec(self) -> str:
        """Name and number of the compression."""
        name = _CODECS.get(self.compression, "an unknown codec")
        return f"{name} (Compression {self.compression})"

    @property
    def in_bytes(self) -> bool:
        """Whether its segments yield samples as they are, and no coded pictures."""
        if self.compression not in BYTE_CODECS or self.photometric != YCBCR:
            return self.compression in BYTE_CODECS + FILE_CODECS
        full = self.directory.values(532).tolist() in ([], _FULL_RANGE)
        return full and self.directory.integers(530, (2, 2))[:2] == (1, 1)

    @property
    def orientation(self) -> int:
        """Value of the tag Orientation, 1 to 8; 1 is upright."""
        return self.directory.integer(274, 1)


def chosen_directory(payload: bytes) -> tuple[Directory, tuple[str, ...]]:
    """Return the directory of the photo, and notes on how it was chosen.

    Returns:
        The directory; `first_frame` among the notes if there are more pages of full resolution,
        `thumbnail_skipped` if a reduced copy or a mask came before.

    Raises:
        ValueError: the file has no directory, or is damaged before the photo's.
    """
    reduced: Directory | None = None
    chain = directories(payload)
    for directory in chain:
        if not _secondary(directory):
            notes = (
                "first_frame" if _has_another(chain) else "",
                "thumbnail_skipped" if reduced is not None else "",
            )
            return directory, tuple(filter(None, notes))
        if reduced is None or prod(_size(directory)) > prod(_size(reduced)):
            reduced = directory
    if reduced is None:
        raise ValueError("it has no page")
    return reduced, ()


def page_of(directory: Directory) -> TiffPage:
    """Return the page of a directory.

    Raises:
        ImageError: samseg does not read such pages; the message says what they hold.
        ValueError: its tags contradict each other.
    """
    width, height = _size(directory)
    compression = directory.integer(259, NONE)
    samples = directory.integer(277, 3 if compression == OLD_JPEG else 1)
    depths, formats = directory.integers(258, (1,)), directory.integers(339, (1,))
    if not 0 < samples <= 65535 or 0 in (len(depths), len(formats)):
        raise ValueError(f"it has {samples} samples per pixel of {depths} bits")
    guessed = CMYK if samples >= 4 and _INK_SET in directory else RGB
    photometric = directory.integer(262, guessed if samples >= 3 else BLACK_IS_ZERO)
    if photometric in _UNREAD_COLOURS or photometric not in _COLOURS:
        name = _UNREAD_COLOURS.get(photometric, "an unknown kind")
        raise refused(None, f"its pixels are {name} (PhotometricInterpretation {photometric})")
    if len(set(depths[:samples])) > 1:
        raise refused(None, f"its channels differ in depth: {_listed(depths)} bits")
    if len(set(formats[:samples])) > 1 or formats[0] not in _KINDS:
        raise refused(
            None, f"its samples are complex, or of mixed formats (SampleFormat {formats[0]})"
        )
    # Some writers, OpenCV among them, write RGBA without saying so.
    extra = directory.integers(338, (UNASSOCIATED,) if (photometric, samples) == (RGB, 4) else ())
    missing = max(0, samples - _COLOURS[photometric] - len(extra))
    page = TiffPage(
        directory,
        width,
        height,
        _KINDS[formats[0]],
        depths[0],
        samples,
        photometric,
        compression,
        directory.integer(284, 1) == 2 and samples > 1,
        (*extra, *(0,) * missing)[: max(0, samples - _COLOURS[photometric])],
    )
    _check(page)
    return page


def described(page: TiffPage) -> str:
    """Describe the samples of a page: `a TIFF of 8 bands of uint16`."""
    name = {"u": "uint", "i": "int", "f": "float"}[page.kind]
    bands = "1 band" if page.samples == 1 else f"{page.samples} bands"
    return f"a TIFF of {bands} of {name}{page.bits}"


def refused(page: TiffPage | None, reason: str) -> ImageError:
    """Return the error for a page that is whole but not read; None if nothing is known of it."""
    what = "a TIFF" if page is None else described(page)
    return ImageError("undecodable", f"{what} is not read: {reason}; convert it to 8-bit RGB")


def _check(page: TiffPage) -> None:
    """Raise an `ImageError` for what samseg does not read, a `ValueError` for contradictions."""
    compression = page.compression
    if compression not in BYTE_CODECS + FILE_CODECS + PICTURE_CODECS:
        raise refused(page, f"it is compressed with {page.codec}")
    if page.bits not in _DEPTHS[page.kind]:
        raise refused(page, "samseg reads no samples of this depth")
    if compression in PICTURE_CODECS and (page.kind != "u" or page.bits not in (1, 8)):
        raise refused(page, f"{page.codec} is read with 1 or 8 bits")
    if compression in FILE_CODECS and (page.kind != "u" or page.bits != 8):
        raise refused(page, f"{page.codec} is read with 8 bits")
    if compression in FILE_CODECS and page.samples > 4 and not page.planar:
        raise refused(page, f"{page.codec} is read with at most 4 bands")
    if compression in FILE_CODECS and page.photometric == YCBCR:
        raise refused(page, f"{page.codec} is not read with YCbCr")
    if not page.in_bytes and page.samples > _MOST_CODED:
        raise refused(page, f"{page.codec} is read with at most {_MOST_CODED} bands")
    if page.samples < page.colours:
        raise ValueError(f"it has {page.samples} samples per pixel in place of {page.colours}")
    unnamed = page.samples - page.colours - (page.alpha is not None)
    if page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) and unnamed:
        unknown = "which bands are red, green and blue"
        unknown = "what its second band is" if page.samples == 2 else unknown
        raise refused(page, f"its tags do not say {unknown}")
    if page.photometric == PALETTE and (page.kind != "u" or page.bits > 16):
        raise refused(page, "a palette takes unsigned samples of at most 16 bits")
    if page.photometric == CMYK and page.kind != "u":
        raise refused(page, "CMYK is read with unsigned samples")
    if page.photometric == CMYK and page.directory.integer(_INK_SET, 1) != 1:
        raise refused(page, "its inks are not cyan, magenta, yellow and black")
    if page.photometric == YCBCR and (page.kind != "u" or page.bits != 8):
        raise refused(page, "YCbCr is read with 8 bits")
    if page.photometric == CIELAB and (page.kind, page.bits) not in (("u", 8), ("u", 16)):
        raise refused(page, "CIELab is read with 8 or 16 bits")
    if page.photometric == CIELAB and compression in PICTURE_CODECS:
        raise refused(page, f"CIELab is not read with {page.codec}")
    bare = compression == NONE or (page.planar and compression in BYTE_CODECS)
    if page.photometric == YCBCR and bare and not page.in_bytes:
        raise refused(
            page,
            "YCbCr with fewer chroma samples or a limited range is read if compressed and not "
            "planar",
        )
    if ASSOCIATED in page.extra and not (page.kind == "u" and page.photometric in (1, RGB)):
        raise refused(page, "colours multiplied by alpha are read in unsigned grey and RGB")


def _listed(depths: Iterable[int]) -> str:
    return ", ".join(map(str, [*depths][:8]))


def _secondary(directory: Directory) -> bool:
    """Return whether a page is a reduced copy or a mask of another page."""
    if directory.integer(_SUBFILE, 0) & (_REDUCED | _MASK) or directory.integer(262, 1) == 4:
        return True
    return _SUBFILE not in directory and directory.integer(_OLD_SUBFILE, 1) == 2


def _size(directory: Directory) -> tuple[int, int]:
    width, height = directory.integer(256, 0), directory.integer(257, 0)
    if width < 1 or height < 1:
        raise ValueError(f"its size is {width} x {height}")
    return width, height


def _has_another(chain: Iterator[Directory]) -> bool:
    """Return whether a page of full resolution follows; damaged ones do not count."""
    try:
        return any(not _secondary(directory) for directory in chain)
    except ValueError:
        return False
