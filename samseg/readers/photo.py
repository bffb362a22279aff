"""Read and decode one image file, for everything that works on a single picture."""

import os
from pathlib import Path

from samseg.errors import ImageError, redact
from samseg.readers.decode import DecodePolicy
from samseg.readers.lookup import fetch
from samseg.types import Image


def read_photo(source: str | os.PathLike[str], decode: DecodePolicy | None = None) -> Image:
    """Read an image file as nights do.

    Args:
        source: a local path, or any URL that fsspec supports.
        decode: limits and options; None for the defaults.

    Raises:
        ImageError: the file cannot be read or decoded; the message names it.
    """
    text = os.fspath(source)
    try:
        payload = fetch(text) if "://" in text else Path(text).expanduser().read_bytes()
        return (decode or DecodePolicy()).decode(payload)
    except ImageError as e:
        raise ImageError(e.status, f"cannot read the image {redact(text)}: {e}") from e
    except OSError as e:
        raise ImageError(
            "unreadable", f"cannot read the image {text}: {e.strerror}; check the path"
        ) from e
