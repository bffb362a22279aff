"""The chunks of a PNG that hold text and profiles, which must not cost the picture.

Pillow refuses a PNG whose text or ICC profile is longer than its limits, or malformed. None of it
is needed for the pixels.
"""

import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_METADATA = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")


def is_png(payload: bytes) -> bool:
    """Return whether a file has the signature of a PNG."""
    return payload.startswith(_SIGNATURE)


def without_metadata(payload: bytes) -> bytes:
    """Return a PNG without its text and ICC profile; chunks of a wrong checksum are kept.

    What follows a damaged length is kept as it is.
    """
    kept, at = [_SIGNATURE], len(_SIGNATURE)
    while at + 12 <= len(payload):
        size = int.from_bytes(payload[at : at + 4])
        body, end = payload[at + 4 : at + 8 + size], at + 12 + size
        if end > len(payload):
            break
        whole = zlib.crc32(body) == int.from_bytes(payload[end - 4 : end])
        if not (whole and body[:4] in _METADATA):
            kept.append(payload[at:end])
        at = end
    return b"".join([*kept, payload[at:]])
