"""From SAM's 256 x 256 mask logits to the pixels of the image, without whole masks in memory.

`Sam.postprocess_masks` interpolates bilinearly to 1024 x 1024, drops the padding and interpolates
again to the image. Both steps are separable and linear, so together they are one small matrix per
axis: pixels = rows @ logits @ columns.T. Each pixel is a convex combination of at most 3 x 3
logits; hence outside the reach of the logits above a threshold no pixel is above it, and only the
window within reach is computed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from samseg.sam.encoder import Geometry
from samseg.types import Bool, Float32, Int64

_BLOCK_PIXELS = 1 << 16
"""Pixels computed at once on a CPU: they and their comparisons stay in the cache."""

_CHUNK_PIXELS = 1 << 27
"""Pixels computed at once on a GPU."""


class Axis:
    """One axis of the way from low-resolution logits to the image.

    Attributes:
        weights: (size, low) float32, on the CPU; each row has at most 3 neighbouring nonzeros.
    """

    def __init__(self, low: int, side: int, padded_from: int, size: int):
        """Compose the two interpolations.

        Args:
            low: number of logits.
            side: the model's nominal input side in px.
            padded_from: where the padding begins in it.
            size: px of the image.
        """
        impulses = torch.eye(low)[None]
        middle = functional.interpolate(impulses, size=side, mode="linear")[..., :padded_from]
        final = functional.interpolate(middle, size=size, mode="linear")
        self.weights = final[0].T.contiguous()
        used = (self.weights > 0).numpy()
        self._first = used.argmax(axis=1)
        self._last = low - 1 - used[:, ::-1].argmax(axis=1)

    def reach(self, first: int, last: int) -> tuple[int, int]:
        """Return the half-open range of pixels that logits first..last (inclusive) touch."""
        start = int(np.searchsorted(self._last, first, side="left"))
        return start, int(np.searchsorted(self._first, last, side="right"))

    def taps(self, start: int, stop: int) -> tuple[int, int]:
        """Return the half-open range of logits that pixels start..stop (half open) need."""
        return int(self._first[start]), int(self._last[stop - 1]) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What is known of m masks at the resolution of the image, or of the crop.

    Attributes:
        stability: (m,) float32; NaN where no logit reaches even the lower threshold.
        areas: (m,) int64, px.
        boxes: (m, 4) int64, xyxy, px, both corners inside the mask; zeros for an empty one.
    """

    stability: Float32
    areas: Int64
    boxes: Int64


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """The logits that decide one mask's pixels, and where those pixels are.

    Attributes:
        logits: (r, c) float32 on the CPU.
        rows: half-open range of pixels.
        columns: half-open range of pixels.
    """

    logits: Tensor
    rows: tuple[int, int]
    columns: tuple[int, int]


class Upsampler:
    """Measures and draws masks on the image of one geometry."""

    def __init__(self, geometry: Geometry, low: int, side: int, device: torch.device):
        """Prepare both axes.

        Args:
            geometry: how the image lies in the model's input.
            low: side of the logits.
            side: the model's nominal input side in px.
            device: where logits will be measured.
        """
        (h, w), (input_h, input_w) = geometry.original_size, geometry.input_size
        self.size = (h, w)
        self._rows, self._columns = Axis(low, side, input_h, h), Axis(low, side, input_w, w)
        self._device = device
        self._on_device = (self._rows.weights.to(device), self._columns.weights.to(device))

    def measure(self, logits: Tensor, threshold: float, offset: float) -> Measured:
        """Compute stability, area and box of masks at full resolution.

        Stability is the reference's: px above threshold + offset over px above threshold - offset
        (`segment_anything.utils.amg.calculate_stability_score`).

        Args:
            logits: (m, low, low) float32, on the device.
            threshold: logit above which a px belongs to the mask.
            offset: shift of the threshold.
        """
        m = len(logits)
        counts = np.zeros((m, 3), dtype=np.int64)
        boxes = np.zeros((m, 4), dtype=np.int64)
        bounds = (threshold + offset, threshold, threshold - offset)
        if self._device.type == "cpu":
            for i, window in enumerate(self._cut(logits, bounds[2])):
                if window is not None:
                    counts[i], boxes[i] = self._measure_one(window, bounds)
        else:
            step = max(1, _CHUNK_PIXELS // (self.size[0] * self.size[1]))
            for start in range(0, m, step):
                part = slice(start, start + step)
                counts[part], boxes[part] = self._measure_many(logits[part], bounds)
        with np.errstate(invalid="ignore"):
            stability = (counts[:, 0] / counts[:, 2]).astype(np.float32)
        return Measured(stability, counts[:, 1], boxes)

    def cut(self, logits: Tensor, threshold: float) -> list[Cutout | None]:
        """Keep of each (low, low) logits only what `draw` needs; None for an empty mask."""
        windows = self._cut(logits.cpu(), threshold)
        return [None if w is None else Cutout(w.logits.clone(), w.rows, w.columns) for w in windows]

    def draw(self, cutout: Cutout | None, threshold: float, canvas: NDArray[np.uint8]) -> None:
        """Set the mask's pixels to 1 in `canvas`, a view of the size of this image."""
        if cutout is None:
            return
        x0, x1 = cutout.columns
        for y0, y1, values in self._blocks(cutout):
            canvas[y0:y1, x0:x1] = values > threshold

    def _cut(self, logits: Tensor, bound: float) -> list[Cutout | None]:
        active = logits > bound
        by_row, by_column = active.any(dim=2).numpy(), active.any(dim=1).numpy()
        cutouts: list[Cutout | None] = []
        for one, in_rows, in_columns in zip(logits, by_row, by_column, strict=True):
            rows = _reached(self._rows, in_rows)
            columns = _reached(self._columns, in_columns)
            if rows is None or columns is None:
                cutouts.append(None)
                continue
            (r0, r1), (c0, c1) = self._rows.taps(*rows), self._columns.taps(*columns)
            cutouts.append(Cutout(one[r0:r1, c0:c1], rows, columns))
        return cutouts

    def _blocks(self, cutout: Cutout) -> Iterator[tuple[int, int, Float32]]:
        """Yield first row, end row and the values of the pixels between, a few rows at a time."""
        (top, bottom), (x0, x1) = cutout.rows, cutout.columns
        r_base, _ = self._rows.taps(top, bottom)
        c0, c1 = self._columns.taps(x0, x1)
        wide = cutout.logits @ self._columns.weights[x0:x1, c0:c1].T
        step = max(16, _BLOCK_PIXELS // (x1 - x0))
        for y0 in range(top, bottom, step):
            y1 = min(y0 + step, bottom)
            r0, r1 = self._rows.taps(y0, y1)
            weights = self._rows.weights[y0:y1, r0:r1]
            yield y0, y1, (weights @ wide[r0 - r_base : r1 - r_base]).numpy()

    def _measure_one(
        self, window: Cutout, bounds: tuple[float, float, float]
    ) -> tuple[list[int], list[int]]:
        high, middle, low = bounds
        counts = [0, 0, 0]
        x0, x1 = window.columns
        in_columns: Bool = np.zeros(x1 - x0, dtype=np.bool_)
        top = bottom = -1
        for y0, _, values in self._blocks(window):
            inside = values > middle
            counts[0] += int(np.count_nonzero(values > high))
            counts[1] += int(np.count_nonzero(inside))
            counts[2] += int(np.count_nonzero(values > low))
            rows = np.flatnonzero(inside.any(axis=1))
            if len(rows):
                top = y0 + int(rows[0]) if top < 0 else top
                bottom = y0 + int(rows[-1])
                in_columns |= inside.any(axis=0)
        columns = np.flatnonzero(in_columns)
        if not len(columns):
            return counts, [0, 0, 0, 0]
        return counts, [x0 + int(columns[0]), top, x0 + int(columns[-1]), bottom]

    def _measure_many(
        self, logits: Tensor, bounds: tuple[float, float, float]
    ) -> tuple[Int64, Int64]:
        """Measure whole images at once, for devices that want few large operations."""
        rows, columns = self._on_device
        values = rows @ (logits @ columns.T)  # (m, h, w)
        counts = torch.stack([(values > b).sum(dim=(1, 2)) for b in bounds], dim=1)
        inside = values > bounds[1]
        ends = []
        for dim in (1, 2):  # any over rows leaves columns: x first
            hit = inside.any(dim=dim)
            reversed_hit = hit.flip(1)
            last = hit.shape[1] - 1 - reversed_hit.int().argmax(dim=1)
            ends.append((hit.int().argmax(dim=1), last))
        (left, right), (up, down) = ends
        boxes = torch.stack([left, up, right, down], dim=1) * (counts[:, 1:2] > 0)
        return counts.cpu().numpy(), boxes.cpu().numpy()


def _reached(axis: Axis, active: Bool) -> tuple[int, int] | None:
    """Range of pixels within reach of the active logits; None when there is none."""
    hits = np.flatnonzero(active)
    if not len(hits):
        return None
    start, stop = axis.reach(int(hits[0]), int(hits[-1]))
    return (start, stop) if start < stop else None
