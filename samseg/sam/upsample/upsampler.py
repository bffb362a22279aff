"""Upsample SAM's 256 x 256 mask logits to image pixels, without whole masks in memory.

`Sam.postprocess_masks` interpolates bilinearly to 1024 x 1024, removes the padding and interpolates
again to the image. Both steps are separable and linear, so they combine to one small matrix per
axis: pixels = rows @ logits @ columns.T.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from samseg.masks.rle import MaskWindow, window_flips
from samseg.masks.runs import Flips
from samseg.sam.network.compiled import compile_dynamic
from samseg.sam.network.encoder import Geometry
from samseg.sam.upsample.cpu_tiles import TILE, Axis, Tiles
from samseg.sam.upsample.gpu_taps import Taps, flips_px, measure_px
from samseg.types import Bool, Float32, Int64

_CPU_MASKS = 12
"""Masks measured at once on a CPU: a smaller batch has more overhead, a larger one exceeds the
cache."""

_GPU_PIXELS = 1 << 26
"""Pixels computed at once on a GPU; without compilation, each takes about 16 bytes."""

Sliceable = TypeVar("Sliceable", Tensor, list[Tensor])

_Columns = tuple[Float32, Int64, Int64]
"""The columns of `Measured`."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Measurements of m masks at the resolution of the image, or of the crop.

    Attributes:
        stability: (m,) float32; NaN if no px exceeds the lower threshold.
        areas: (m,) int64, px.
        boxes: (m, 4) int64, xyxy, px, both corners inside the mask; zeros for an empty mask.
    """

    stability: Float32
    areas: Int64
    boxes: Int64

    def __getitem__(self, index: Int64) -> "Measured":
        """Select masks by their positions."""
        return Measured(self.stability[index], self.areas[index], self.boxes[index])


@dataclass(frozen=True, slots=True, eq=False)
class LogitCrop:
    """The logits that determine one mask's pixels, and the tiles that contain those pixels.

    Attributes:
        logits: (r, c) float32, on the device; on a GPU those of the whole image.
        rows: half-open range of rows of tiles.
        columns: half-open range of columns of tiles.
    """

    logits: Tensor
    rows: tuple[int, int]
    columns: tuple[int, int]


class Upsampler:
    """Measures and rasterises masks at the resolution of one image."""

    def __init__(
        self,
        geometry: Geometry,
        low: int,
        side: int,
        device: torch.device,
        compiled: bool = False,
    ):
        """Prepare both axes.

        Args:
            geometry: sizes of the image and of its scaled copy in the model's input.
            low: side of the logits.
            side: the model's nominal input side in px.
            device: device of the logits to measure.
            compiled: on a GPU, measure without storing pixels.
        """
        self.size = geometry.original_size
        rows, columns = (
            _weights(low, side, padded_from, size)
            for padded_from, size in zip(geometry.input_size, self.size, strict=True)
        )
        self._tiles = Tiles(Axis.of(rows.numpy()), Axis.of(columns.numpy()))
        self._taps: tuple[Taps, Taps] | None = None
        if device.type != "cpu":
            self._taps = Taps.of(rows.to(device)), Taps.of(columns.to(device))
        self._measure_px = compile_dynamic(measure_px) if compiled else measure_px

    def measure(
        self, logits: Tensor, threshold: float, offset: float, at_least: float = 0.0
    ) -> Measured:
        """Compute stability, area and box of masks at full resolution.

        Stability is the reference's: px above threshold + offset over px above threshold - offset
        (`segment_anything.utils.amg.calculate_stability_score`).

        Args:
            logits: (m, low, low) float32, on the device; rows and columns in the padding may be
                omitted.
            threshold: logit above which a px belongs to the mask.
            offset: shift of the threshold.
            at_least: minimum stability of interest. For a mask that is provably less stable, the
                result may be an upper bound of its stability, below `at_least`, with zero area and
                box.
        """
        if len(logits) == 0:
            none = np.zeros(0, dtype=np.int64)
            return Measured(none.astype(np.float32), none, none.reshape(0, 4))
        bounds = (threshold - offset, threshold, threshold + offset)
        if self._taps is None:
            columns = [
                self._measure_tiles(part.numpy(), bounds, at_least)
                for part in logits.split(_CPU_MASKS)
            ]
            return Measured(*(np.concatenate(column) for column in zip(*columns, strict=True)))
        parts = [self._measure_px(part, *self._taps, bounds) for part in self._parts(logits)]
        low, areas, high, *boxes = torch.cat(parts).cpu().numpy().T
        return Measured(_ratio(high, low), areas, np.stack(boxes, axis=1))

    def cut(self, logits: Tensor, measured: Measured) -> list[LogitCrop | None]:
        """Keep of each mask's logits those that `draw` needs; None for an empty mask.

        On a GPU these are views of all its logits, which avoids synchronisation.

        Args:
            logits: (m, low, low), as passed to `measure`.
            measured: the result of `measure`.
        """
        tiles = self._tiles
        cutouts: list[LogitCrop | None] = []
        reached = (measured.boxes // TILE).tolist()
        for one, area, (c0, r0, c1, r1) in zip(logits, measured.areas, reached, strict=True):
            rows, columns = (r0, r1 + 1), (c0, c1 + 1)
            if area == 0:
                cutouts.append(None)
            elif self._taps is None:
                near = one[tiles.rows.logits_of(*rows), tiles.columns.logits_of(*columns)]
                cutouts.append(LogitCrop(near.clone(), rows, columns))
            else:
                cutouts.append(LogitCrop(one, rows, columns))
        return cutouts

    def draw(
        self,
        cutouts: Sequence[LogitCrop | None],
        threshold: float,
        corner: tuple[int, int],
        height: int,
    ) -> Flips:
        """Rasterise masks as flips in the image.

        Args:
            cutouts: m masks, from `cut`.
            threshold: logit above which a px belongs to the mask.
            corner: x and y of the crop in the image, px.
            height: of the image, px.
        """
        if self._taps is None:
            windows = (self._window(cutout, threshold).translated(*corner) for cutout in cutouts)
            return window_flips(windows, height)
        filled = [cutout.logits for cutout in cutouts if cutout is not None]
        amounts = np.zeros(len(cutouts), dtype=np.int64)
        if not filled:
            return Flips(amounts[:0], np.append(0, amounts))
        parts = [
            flips_px(torch.stack(part), *self._taps, threshold, corner, height)
            for part in self._parts(filled)
        ]
        found = torch.cat([*(n for _, n in parts), *(flips for flips, _ in parts)]).cpu().numpy()
        amounts[[cutout is not None for cutout in cutouts]] = found[: len(filled)]
        return Flips(found[len(filled) :], np.append(0, np.cumsum(amounts)))

    def _parts(self, logits: Sliceable) -> Iterator[Sliceable]:
        """Split masks into parts whose pixels are computed at once on a GPU."""
        at_once = max(1, _GPU_PIXELS // (self.size[0] * self.size[1]))
        return (logits[start : start + at_once] for start in range(0, len(logits), at_once))

    def _window(self, cutout: LogitCrop | None, threshold: float) -> MaskWindow:
        """Rasterise one mask on the CPU, in a window of the image."""
        if cutout is None:
            return MaskWindow(np.zeros((0, 0), dtype=np.bool_), 0, 0)
        (r0, r1), (c0, c1) = cutout.rows, cutout.columns
        tiles, logits = self._tiles.part(cutout.rows, cutout.columns), cutout.logits[None].numpy()
        levels = tiles.levels(logits, [threshold])
        inside, reached = tiles.lowest(levels)[0] > 0, tiles.highest(levels)[0] > 0
        drawn = np.empty((c1 - c0, TILE, r1 - r0, TILE), dtype=np.bool_)
        drawn[:] = inside.T[:, None, :, None]
        row, column = np.nonzero(inside != reached)
        for part, values in tiles.pixels(logits, np.zeros_like(row), row, column):
            drawn[column[part], :, row[part]] = values > threshold
        x, y = c0 * TILE, r0 * TILE
        h, w = self.size
        columns = drawn.reshape((c1 - c0) * TILE, (r1 - r0) * TILE)[: w - x, : h - y]
        return MaskWindow(columns, x, y)

    def _measure_tiles(
        self, logits: Float32, bounds: tuple[float, float, float], at_least: float
    ) -> _Columns:
        """Measure on a CPU; skip masks whose upper bound of stability is below `at_least`."""
        tiles = self._tiles
        levels = tiles.levels(logits, bounds)
        stability = _ratio(tiles.area_upper_bound(levels, 3), tiles.area_lower_bound(levels, 1))
        areas = np.zeros(len(logits), dtype=np.int64)
        boxes = np.zeros((len(logits), 4), dtype=np.int64)

        rest = np.flatnonzero(~(stability < at_least))
        lowest, highest = tiles.lowest(levels[rest]), tiles.highest(levels[rest])
        low, inside, high = tiles.px_above(logits, rest, lowest, highest, bounds)
        stability[rest] = _ratio(high.sum(axis=(1, 2)), low.sum(axis=(1, 2)))
        areas[rest] = inside.sum(axis=(1, 2))
        boxes[rest] = self._boxes(logits, rest, inside, bounds[1])
        return stability, areas, boxes

    def _boxes(self, logits: Float32, masks: Int64, inside: Int64, threshold: float) -> Int64:
        """Find (n, 4) boxes from the outermost non-empty tiles, given (n, R, C) counts."""
        tiles = self._tiles
        filled = inside > 0
        by_row, by_column = _ends(filled.any(axis=2)), _ends(filled.any(axis=1))
        outermost = filled & (by_row[:, :, None] | by_column[:, None, :])
        mask, row, column = np.nonzero(outermost)
        x, y = column * TILE, row * TILE
        right = x + tiles.columns.lengths[column].astype(np.int64) - 1
        bottom = y + tiles.rows.lengths[row].astype(np.int64) - 1
        extents = np.stack([x, y, right, bottom], axis=1)
        area = (right + 1 - x) * (bottom + 1 - y)
        partial = np.flatnonzero(inside[mask, row, column] < area)
        of_partial = masks[mask[partial]], row[partial], column[partial]
        for part, values in tiles.pixels(logits, *of_partial):
            drawn = values > threshold
            (left, right), (top, bottom) = (_span(drawn.any(axis=axis)) for axis in (2, 1))
            chosen = partial[part]
            corner = np.stack([x[chosen], y[chosen]] * 2, axis=1)
            extents[chosen] = corner + np.stack([left, top, right, bottom], axis=1)
        boxes = np.zeros((len(filled), 4), dtype=np.int64)
        found, starts = np.unique(mask, return_index=True)
        if len(found):
            boxes[found, :2] = np.minimum.reduceat(extents[:, :2], starts)
            boxes[found, 2:] = np.maximum.reduceat(extents[:, 2:], starts)
        return boxes


def _weights(low: int, side: int, padded_from: int, size: int) -> Tensor:
    """Compose both interpolations along one axis.

    Args:
        low: number of logits.
        side: the model's nominal input side in px.
        padded_from: start of the padding in the model's input, px.
        size: px of the image.

    Returns:
        (size, low) float32; each row has at most 3 adjacent nonzeros.
    """
    impulses = torch.eye(low)[None]
    middle = functional.interpolate(impulses, size=side, mode="linear")[..., :padded_from]
    return functional.interpolate(middle, size=size, mode="linear")[0].T.contiguous()


def _ratio(high: Int64, low: Int64) -> Float32:
    """Divide in float32, like the reference."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(high.astype(np.float32) / low.astype(np.float32), dtype=np.float32)


def _span(hit: Any) -> tuple[Int64, Int64]:
    """Return the first and the last set position of each row of (k, n) bool."""
    return hit.argmax(axis=1), hit.shape[1] - 1 - hit[:, ::-1].argmax(axis=1)


def _ends(hit: Any) -> Bool:
    """Keep the first and the last set position of each row of (k, n) bool."""
    ends = np.zeros_like(hit)
    for at in _span(hit):
        ends[np.arange(len(hit)), at] = True
    return np.asarray(ends & hit)
