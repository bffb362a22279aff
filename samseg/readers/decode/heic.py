"""HEIC photos, which Pillow reads with pillow-heif: the extra `heic` of samseg."""

import io

from PIL import ImageFile

from samseg.errors import ImageError


def opened(payload: bytes) -> ImageFile.ImageFile:
    """Open a HEIC file; its pixels are decoded when it is loaded, upright and with 8 bits.

    Raises:
        ImageError: pillow-heif is not installed.
    """
    try:
        from pillow_heif import HeifImageFile
    except ImportError as e:
        raise ImageError(
            "undecodable",
            "a HEIC photo, which is read with an extra: pip install 'samseg[heic]', on every "
            "machine that labels; or convert it to JPEG",
        ) from e
    image: ImageFile.ImageFile = HeifImageFile(io.BytesIO(payload))
    return image
