"""Files of formats that are not read, recognized by their first bytes for the error message."""

_IMAGES = (
    *((b"8BPS", "a Photoshop document"), (b"gimp xcf", "a GIMP document")),
    *((b"PF\n", "a PFM of colours"), (b"P7 332", "an XV thumbnail"), (b"P7", "a PAM")),
    *((b"\x76\x2f\x31\x01", "an OpenEXR image"), (b"#?RADIANCE", "a Radiance HDR image")),
    *((b"#?RGBE", "a Radiance HDR image"), (b"SIMPLE  =", "a FITS file")),
    *((b"\xff\x0a", "a JPEG XL image"), (b"\0\0\0\x0cJXL ", "a JPEG XL image")),
    *((b"II\xbc\x01", "a JPEG XR image"), (b"BPG\xfb", "a BPG image"), (b"FLIF", "a FLIF image")),
    *((b"\0\0\1\0", "an icon"), (b"\0\0\2\0", "a cursor"), (b"icns", "an icon of macOS")),
    *((b"DDS ", "a DDS texture"), (b"BLP1", "a BLP texture"), (b"BLP2", "a BLP texture")),
    *((b"FTEX", "an FTEX texture"), (b"\xabKTX ", "a KTX texture")),
    *((b"\x59\xa6\x6a\x95", "a Sun raster"), (b"\x01\xda", "an SGI image")),
    *((bytes([10, version, 1]), "a PCX image") for version in (0, 2, 3, 4, 5)),
    *((b"\xb1\x68\xde\x3a", "a DCX image"), (b"qoif", "a QOI image")),
    *((b"farbfeld", "a farbfeld image"), (b"/* XPM */", "an XPM image")),
    *((b"\x8aMNG\r\n", "an MNG animation"), (b"\x8bJNG\r\n", "a JNG image")),
    *((b"AT&TFORM", "a DjVu document"), (b"%!PS", "a PostScript drawing")),
    *((b"\xc5\xd0\xd3\xc6", "a PostScript drawing"), (b"\xd7\xcd\xc6\x9a", "a WMF drawing")),
    *((b"FUJIFILM", "raw sensor data (RAF)"), (b"IIRO", "raw sensor data (ORF)")),
    *((b"IIRS", "raw sensor data (ORF)"), (b"IIU\0", "raw sensor data (RW2)")),
    *((b"MMOR", "raw sensor data (ORF)"), (b"FOVb", "raw sensor data (X3F)")),
    *((b"\0MRM", "raw sensor data (MRW)"), (b"II\x1a\0\0\0HEAPCCDR", "raw sensor data (CRW)")),
)
"""Image formats by signature."""

_FLIC = (b"\x11\xaf", b"\x12\xaf")
_IFF = (b"ILBM", b"PBM ", b"RGB8", b"RGBN", b"ACBM", b"DEEP")
_TGA_KINDS, _TGA_DEPTHS = (1, 2, 3, 9, 10, 11), (8, 15, 16, 24, 32)

_OTHERS = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML file"),
    (b"version https://git-lfs", "a Git LFS pointer"),
    (b"%pdf", "a PDF"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x1aE\xdf\xa3".lower(), "a Matroska or WebM video"),
    (b"\x89hdf\r\n\x1a\n", "an HDF5 file"),
    (b"{", "a JSON text"),
)
"""Files that are no images, by the beginning of their text in lower case."""


def unread_image(payload: bytes) -> str | None:
    """Return which image format that is not read a file has, such as `a PCX image`, if any."""
    if payload[4:12] == b"ftypcrx ":
        return "raw sensor data (CR3)"
    if payload[128:132] == b"DICM":
        return "a DICOM image"
    if payload[4:6] in _FLIC:
        return "an FLI animation"
    if payload[:4] == b"FORM" and payload[8:12] in _IFF:
        return "an IFF image"
    if _is_tga(payload):
        return "a TGA image"
    return next((name for signature, name in _IMAGES if payload.startswith(signature)), None)


def other_file(payload: bytes) -> str | None:
    """Return what a file that is no image seems to be, such as `an HTML page`."""
    if payload[4:8] == b"ftyp":
        brand = payload[8:12].decode("ascii", "replace").strip()
        return f"an ISO media file ({brand}: a video or so)"
    head = payload[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, name in _OTHERS:
        if head.startswith(signature):
            return "an SVG drawing" if b"<svg" in head else name
    return None


def _is_tga(payload: bytes) -> bool:
    """Return whether the header of 18 bytes is that of a TGA, which has no signature."""
    if len(payload) < 18 or payload[1] > 1 or payload[2] not in _TGA_KINDS:
        return False
    mapped = payload[2] in (1, 9)
    known_map = (payload[1] == 1 and payload[7] in _TGA_DEPTHS) if mapped else payload[1] == 0
    sized = any(payload[12:14]) and any(payload[14:16])
    return known_map and sized and payload[16] in _TGA_DEPTHS and payload[17] < 0x40
