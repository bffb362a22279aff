"""Samples of any depth to 8 bits: which value becomes 0, which 255, and what is in between."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from samseg.types import Pixels

Range = Literal["full", "percentile"]
"""Values of `decode.range`."""

PERCENTILES = (2.0, 98.0)
"""What `percentile` stretches to 0 and 255."""

_CHUNK = 1 << 20
_MEASURED = 1 << 24
"""Samples that percentiles are measured on, at most."""


@dataclass(frozen=True)
class Scale:
    """A linear scale to 8 bits; values beyond its ends are clipped, halves go to the even side.

    Attributes:
        low: what becomes 0.
        high: what becomes 255; below `low` the scale is inverted. Equal to `low`, all become 0.
        nodata: a value that stands for no sample; it becomes 0, as NaN and infinity do.
    """

    low: float
    high: float
    nodata: float | None = None

    def __call__(self, samples: NDArray[Any]) -> Pixels:
        """Return samples of any type and shape as uint8 of the same shape."""
        if samples.dtype.kind == "u" and samples.dtype.itemsize <= 2:
            table = self._scaled(np.arange(1 << (8 * samples.dtype.itemsize), dtype=np.uint16))
            return table[samples]
        flat = samples.reshape(-1)
        out = np.empty(flat.shape, dtype=np.uint8)
        for start in range(0, len(flat), _CHUNK):
            out[start : start + _CHUNK] = self._scaled(flat[start : start + _CHUNK])
        return out.reshape(samples.shape)

    def _scaled(self, samples: NDArray[Any]) -> Pixels:
        if self.low == self.high:
            return np.zeros(samples.shape, dtype=np.uint8)
        with np.errstate(invalid="ignore"):  # of signalling NaNs
            real = samples.astype(np.float64)
        absent = ~_present(samples, self.nodata)
        real[absent] = self.low
        # Halves, because the difference of two numbers of the type may be none.
        unit = (real / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        scaled = np.rint(255 * unit.clip(0, 1)).astype(np.uint8)
        scaled[absent] = 0
        return scaled


def span_of_type(kind: str, bits: int) -> tuple[float, float]:
    """Return the lowest and the highest value of unsigned (`u`) or signed (`i`) samples."""
    return (0.0, 2.0**bits - 1) if kind == "u" else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)


def measured_span(
    samples: NDArray[Any], range_: Range, nodata: float | None = None
) -> tuple[float, float]:
    """Return the values that an image spans, over all its channels.

    Args:
        samples: (h, w, channels).
        range_: `full`: the lowest and the highest finite sample. `percentile`: the `PERCENTILES`
            of the finite samples, on evenly spaced pixels with at most 16 million samples; where
            both are equal, the lowest and the highest.
        nodata: a value that stands for no sample.

    Returns:
        The two values; (0, 0) without a finite sample.
    """
    if range_ == "percentile":
        pixels = samples.reshape(-1, samples.shape[-1])
        some = pixels[:: -(-samples.size // _MEASURED)]
        present = some[_present(some, nodata)].astype(np.float64)
        if present.size:
            low, high = np.percentile(present, PERCENTILES).tolist()
            if low < high:
                return low, high
    lows, highs = [], []
    flat = samples.reshape(-1)
    for start in range(0, len(flat), _CHUNK):
        chunk = flat[start : start + _CHUNK]
        present = chunk[_present(chunk, nodata)]
        if present.size:
            lows.append(float(present.min()))
            highs.append(float(present.max()))
    return (min(lows), max(highs)) if lows else (0.0, 0.0)


def flattened(
    colour: Pixels, alpha: Pixels, background: tuple[int, int, int], associated: bool
) -> Pixels:
    """Composite an image on a background.

    Args:
        colour: (h, w, 3) uint8 RGB.
        alpha: (h, w) uint8, 255 is opaque.
        background: RGB behind the image.
        associated: whether the colours are multiplied by alpha already.

    Returns:
        (h, w, 3) uint8, rounded to the nearest.
    """
    height, width = alpha.shape
    behind = np.array(background, dtype=np.uint32)
    out = np.empty_like(colour)
    step = max(1, _CHUNK // width)
    for top in range(0, height, step):
        rows = slice(top, top + step)
        opaque = alpha[rows, :, None].astype(np.uint32)
        front = colour[rows].astype(np.uint32) * (255 if associated else opaque)
        out[rows] = ((front + behind * (255 - opaque) + 127) // 255).clip(0, 255)
    return out


def _present(samples: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """Return where samples are finite and not `nodata`, which is compared in their type."""
    present: NDArray[np.bool_] = np.isfinite(samples)
    if nodata is None or not np.isfinite(nodata):
        return present
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            return present & (samples != samples.dtype.type(nodata))
    return present & (samples != int(nodata)) if nodata == int(nodata) else present
