"""Image decoding: the bytes of one file to an upright RGB image.

Everything that decides how a file becomes pixels belongs here; fetching its bytes does not.
`policy` holds the rules and limits, `container` the file formats and their metadata, `pixels` the
conversion of every sample format to 8-bit RGB.
"""

from samseg.readers.decode.policy import MAX_BYTES, DecodePolicy, oversized

__all__ = ["MAX_BYTES", "DecodePolicy", "oversized"]
