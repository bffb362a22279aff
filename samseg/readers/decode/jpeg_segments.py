"""The segments of a JPEG: metadata, which must not cost the picture, and the coding.

Source: ITU-T T.81 annex B and table B.1; ITU-T T.87 (JPEG-LS).
"""

from collections.abc import Iterator

_START_OF_SCAN = 0xDA
_FRAMES = {
    **{0xC3: "lossless", 0xCB: "lossless with arithmetic coding", 0xF7: "JPEG-LS"},
    **{code: "hierarchical" for code in (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF)},
}
"""Uncommon codings by the marker of the frame."""

_COMMON_FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
_APPLICATION, _COMMENT = range(0xE0, 0xF0), 0xFE
_KEPT = ((0xE1, b"Exif\0"), (0xEE, b"Adobe"))
"""Metadata that the upright picture and its colours depend on."""


def is_jpeg(payload: bytes) -> bool:
    """Return whether a file has the signature of a JPEG."""
    return payload.startswith(b"\xff\xd8\xff")


def without_metadata(payload: bytes) -> bytes:
    """Return a JPEG without application data and comments; Exif and Adobe's segment are kept.

    What follows the first scan is kept as it is.
    """
    kept, end = [payload[:2]], 2
    for marker, start, stop in _segments(payload):
        body = payload[start + 4 : stop]
        known = any(marker == code and body.startswith(name) for code, name in _KEPT)
        if known or not (marker in _APPLICATION or marker == _COMMENT):
            kept.append(payload[start:stop])
        end = stop
    return b"".join([*kept, payload[end:]])


def uncommon_coding(payload: bytes) -> str | None:
    """Return the coding of a JPEG that few decoders read: `of 12 bits`, `of 8 bits, lossless`.

    Returns:
        None for sequential and progressive ones of 8 bits, and for damaged headers.
    """
    for marker, start, stop in _segments(payload):
        if (marker in _FRAMES or marker in _COMMON_FRAMES) and stop > start + 4:
            bits, name = payload[start + 4], _FRAMES.get(marker)
            if name is None:
                return None if bits == 8 else f"of {bits} bits"
            return f"of {bits} bits, {name}"
    return None


def _segments(payload: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker, start and end of the segments before the first scan, with their marker."""
    at = 2
    while at + 4 <= len(payload) and payload[at] == 0xFF:
        marker = payload[at + 1]
        if marker == 0xFF:  # fill bytes
            at += 1
            continue
        end = at + 2 + int.from_bytes(payload[at + 2 : at + 4])
        if marker == _START_OF_SCAN or end > len(payload):
            return
        yield marker, at, end
        at = end
