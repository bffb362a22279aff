"""Files that hold a mask prompt: logits of an earlier prediction, or a binary image."""

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from samseg.errors import ConfigError, ImageError
from samseg.readers.decode import DecodePolicy
from samseg.readers.photo import read_photo
from samseg.types import Bool, Float32

_SIDE = 256
"""Side of SAM's low-resolution masks."""

_CERTAIN = 0.999
"""Probability inside a drawn mask; its logit is 6.9, of the size of SAM's own logits."""


def read_mask_prompt(path: Path, size: tuple[int, int]) -> Float32:
    """Read a mask prompt as logits.

    Args:
        path: an `.npz` that `samseg segment` wrote for a prompt, whose mask with the best predicted
            IoU is used; an `.npy` of logits, as from `SamPredictor.predict`; or an image of the
            photo's size, black or transparent outside the mask.
        size: (h, w) of the photo.

    Returns:
        (1, 256, 256) float32 logits.

    Raises:
        ConfigError: the file cannot be read, has no logits or no mask, or has another shape.
    """
    if path.suffix not in (".npz", ".npy"):
        return logits_of(_drawn(path, size))
    try:
        with path.open("rb") as file:
            logits = np.load(file, allow_pickle=False)
            if not isinstance(logits, np.ndarray):  # an archive
                logits = logits["logits"][[int(logits["predicted_iou"].argmax())]]
    except (OSError, ValueError, LookupError, EOFError, BadZipFile, zlib.error) as e:
        raise ConfigError(
            f"cannot read logits from --mask {path}: {e}; wanted the .npz of a prompt from "
            "samseg segment, or an .npy of (1, 256, 256) logits"
        ) from e
    if logits.shape not in ((_SIDE, _SIDE), (1, _SIDE, _SIDE)) or not np.isfinite(logits).all():
        raise ConfigError(
            f"--mask {path} has logits of shape {logits.shape}, wanted (1, 256, 256), finite: "
            "those of one mask"
        )
    return logits.reshape(1, _SIDE, _SIDE).astype(np.float32)


def _drawn(path: Path, size: tuple[int, int]) -> Bool:
    """Read an image as a mask: what is not black and not transparent."""
    try:
        mask = read_photo(path, DecodePolicy(background=(0, 0, 0))).pixels.any(axis=2)
    except ImageError as e:
        raise ConfigError(f"--mask: {e}") from e
    if mask.shape != size:
        raise ConfigError(
            f"--mask {path} is {mask.shape[1]} x {mask.shape[0]} px, wanted the photo's "
            f"{size[1]} x {size[0]} px"
        )
    if not mask.any():
        raise ConfigError(f"--mask {path} is black; wanted another colour inside the mask")
    return mask


def logits_of(mask: Bool) -> Float32:
    """Convert an (h, w) bool mask to (1, 256, 256) float32 logits over SAM's padded square.

    Each logit is that of the fraction of its cell that the mask covers, at most `_CERTAIN`.
    """
    import cv2

    h, w = mask.shape
    scale = _SIDE / max(h, w)
    rows, columns = max(1, round(h * scale)), max(1, round(w * scale))
    covered = np.zeros((_SIDE, _SIDE), np.float32)
    covered[:rows, :columns] = cv2.resize(
        mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA
    )
    p = covered.clip(1 - _CERTAIN, _CERTAIN)
    return np.log(p / (1 - p))[None]
