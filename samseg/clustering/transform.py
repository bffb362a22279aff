"""The transform from raw embeddings to the unit vectors that are clustered.

Fitted with a codebook and stored in it, never updated: a new mean would change every distance and
so the meaning of every class. The tables hold raw embeddings. Box position is not regressed out,
because doing so lowers the agreement with true classes on photos.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.types import Bool, Float32

_BLOCK = 8192
_TINY = 1e-6
"""Differences of unit vectors shorter than this are rounding errors and have no direction."""


def unit(points: NDArray[np.floating]) -> tuple[Float32, Bool]:
    """Scale rows to unit length, each row independently.

    Rows that are unit vectors within float32 precision are returned bit for bit, so the function is
    idempotent.

    Args:
        points: (n, d) floating.

    Returns:
        (n, d) float32 unit rows, zeros where there is no direction; and (n,) bool, True where
        there is one.
    """
    scaled = np.zeros(points.shape, np.float32)
    valid = np.zeros(len(points), np.bool_)
    for at in range(0, len(points), _BLOCK):
        rows = slice(at, at + _BLOCK)
        scaled[rows], valid[rows] = _unit(np.array(points[rows], np.float64))
    return scaled, valid


def _unit(block: NDArray[np.float64], shortest: float = 0.0) -> tuple[Float32, Bool]:
    """Scale the rows of a block, which is overwritten; only finite rows have a finite length."""
    length = np.linalg.norm(block, axis=1)
    valid: Bool = np.isfinite(length) & (length > shortest)
    block /= np.where(valid & (np.abs(length - 1) > _TINY), length, 1.0)[:, None]
    block[~valid] = 0
    return block.astype(np.float32), valid


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """Normalise, subtract a stored mean, normalise again.

    Attributes:
        mean: (d,) float64, the mean of unit embeddings; zeros when not centred.
    """

    mean: NDArray[np.float64]

    @classmethod
    def fit(cls, embeddings: Float32, center: bool = True) -> "Transform":
        """Take the mean direction of raw embeddings, (n, d); invalid rows are ignored."""
        points, valid = unit(embeddings)
        if not center or not valid.any():
            return cls(np.zeros(embeddings.shape[1]))
        return cls(points[valid].mean(axis=0, dtype=np.float64))

    def apply(self, embeddings: Float32) -> tuple[Float32, Bool]:
        """Transform raw embeddings into points.

        Args:
            embeddings: (n, d) float32, any positive scale per row.

        Returns:
            (n, d) float32 unit rows, zeros where a row has no direction (zero, not finite, or
            equal to the mean); and (n,) bool, True where it has one.
        """
        points, valid = unit(embeddings)
        if not self.mean.any():
            return points, valid
        for at in range(0, len(points), _BLOCK):
            rows = slice(at, at + _BLOCK)
            moved = points[rows] - self.mean
            moved[~valid[rows]] = 0
            points[rows], valid[rows] = _unit(moved, shortest=_TINY)
        return points, valid

    def to_bytes(self) -> bytes:
        """Serialise as an `.npz`; equal transforms yield equal bytes."""
        sink = io.BytesIO()
        np.savez(sink, mean=self.mean)
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, payload: bytes) -> "Transform":
        """Deserialise the output of `to_bytes`."""
        with np.load(io.BytesIO(payload), allow_pickle=False) as stored:
            return cls(stored["mean"])
