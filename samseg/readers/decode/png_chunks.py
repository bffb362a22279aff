"""The chunks of a PNG that hold text, profiles and animation, which must not cost the picture.

Pillow refuses a PNG whose text or ICC profile is longer than its limits, or malformed, and one
whose frames are out of order. None of it is needed for the pixels of the picture itself.
"""

import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_METADATA = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"acTL", b"fcTL", b"fdAT")


def is_png(payload: bytes) -> bool:
    """Return whether a file has the signature of a PNG."""
    return payload.startswith(_SIGNATURE)


def without_metadata(payload: bytes) -> bytes:
    """Return a PNG without its text, ICC profile and animation.

    Chunks of a wrong checksum are kept, and so is what follows a damaged length.
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
