"""Upsampling in square tiles for CPUs: interpolate only tiles that a threshold crosses.

Both interpolations of `Sam.postprocess_masks` are separable, linear and convex: a pixel is
`rows @ logits @ columns` with non-negative weights of 3 x 3 neighbouring logits that sum to 1. If
these are all on one side of a threshold, so is the pixel; likewise for all logits of a tile. Only
tiles that a threshold crosses need interpolation. On a GPU, computing all pixels is faster.

Shapes: m masks, R x C tiles, `read` logits per axis that determine pixels. A *level* is the number
of thresholds that a logit exceeds; thresholds are ascending.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from samseg.types import Bool, Float32, Int64

TILE = 32
"""Side of a tile in px."""

_REACH = 3
"""Neighbouring logits that determine a pixel, per axis."""

_CHUNK_VALUES = 1 << 17
"""Maximum number of pixels, or logits, interpolated at once: 0.5 MB, which fits into the cache."""

Levels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """One axis of an image, split into t tiles.

    Attributes:
        read: number of logits that determine pixels; logits after them are in the padding.
        px: (read - 2,) float32, number of pixels determined by the three logits that start at each
            position.
        starts: (t,) int64, first of the k logits that determine a tile.
        weights: (t, TILE, k) float32, their weights in each px; NaN beyond the image.
        lengths: (t,) float32, px of the image in each tile; only the last tile may be shorter.
    """

    read: int
    px: Float32
    starts: Int64
    weights: Float32
    lengths: Float32

    @classmethod
    def of(cls, weights: Float32) -> "Axis":
        """Split an axis into tiles.

        Args:
            weights: (size, low), interpolation from logits to px.
        """
        size, low = weights.shape
        used = weights > 0
        first, last = used.argmax(axis=1), low - 1 - used[:, ::-1].argmax(axis=1)
        read = max(_REACH, int(last[-1]) + 1)
        first_of_three = np.minimum(first, read - _REACH)
        begins = np.arange(0, size, TILE)
        ends = np.minimum(begins + TILE, size)
        k = max(_REACH, int((last[ends - 1] - first[begins]).max()) + 1)
        starts = np.minimum(first[begins], read - k)
        px = begins[:, None] + np.arange(TILE)
        near = starts[:, None] + np.arange(k)
        of_tiles = weights[np.minimum(px, size - 1)[:, :, None], near[:, None]]
        return cls(
            read,
            np.bincount(first_of_three, minlength=read - _REACH + 1).astype(np.float32),
            starts,
            np.where(px[:, :, None] < size, of_tiles, np.float32(np.nan)),
            (ends - begins).astype(np.float32),
        )

    @property
    def taps(self) -> int:
        """Number k of logits that determine a tile."""
        return self.weights.shape[2]

    def logits_of(self, start: int, stop: int) -> slice:
        """Return the range of logits that determines a range of tiles."""
        return slice(int(self.starts[start]), int(self.starts[stop - 1]) + self.taps)

    def part(self, start: int, stop: int) -> "Axis":
        """Return a range of tiles, relative to the logits that determine it."""
        near = self.logits_of(start, stop)
        return Axis(
            near.stop - near.start,
            self.px[near.start : near.stop - _REACH + 1],
            self.starts[start:stop] - near.start,
            self.weights[start:stop],
            self.lengths[start:stop],
        )


class Tiles:
    """The tiles of an image, or a rectangle of them."""

    def __init__(self, rows: Axis, columns: Axis):
        """Combine two axes."""
        self.rows, self.columns = rows, columns
        self._down = np.ascontiguousarray(rows.weights.transpose(0, 2, 1))

    def part(self, rows: tuple[int, int], columns: tuple[int, int]) -> "Tiles":
        """Return a rectangle of tiles, given as half-open ranges."""
        return Tiles(self.rows.part(*rows), self.columns.part(*columns))

    def levels(self, logits: Float32, thresholds: Sequence[float]) -> Levels:
        """Count the thresholds that each logit exceeds: (m, low, low) to (m, read, read)."""
        read = logits[:, : self.rows.read, : self.columns.read]
        levels = (read > thresholds[0]).view(np.uint8)
        for threshold in thresholds[1:]:
            levels += read > threshold
        return levels

    def area_lower_bound(self, levels: Levels, level: int) -> Int64:
        """Return (m,) lower bounds of the area: px where all 3 x 3 logits reach `level`."""
        return self._px_count(np.logical_and, levels >= level)

    def area_upper_bound(self, levels: Levels, level: int) -> Int64:
        """Return (m,) upper bounds of the area: px where any of 3 x 3 logits reaches `level`."""
        return self._px_count(np.logical_or, levels >= level)

    def lowest(self, levels: Levels) -> Levels:
        """Return (m, R, C), the lowest level of the logits that determine each tile."""
        return self._by_tile(np.minimum, levels)

    def highest(self, levels: Levels) -> Levels:
        """Return (m, R, C), the highest level of the logits that determine each tile."""
        return self._by_tile(np.maximum, levels)

    def px_above(
        self,
        logits: Float32,
        masks: Int64,
        lowest: Levels,
        highest: Levels,
        thresholds: Sequence[float],
    ) -> list[Int64]:
        """Count the px of each tile above each threshold.

        Args:
            logits: (m, low, low).
            masks: (n,) positions of the masks to measure.
            lowest: (n, R, C), from `lowest`, of these masks.
            highest: (n, R, C), from `highest`, of these masks.
            thresholds: the thresholds of the levels.

        Returns:
            (n, R, C) for each threshold.
        """
        area = np.outer(self.rows.lengths, self.columns.lengths).astype(np.int64)
        counts = [np.where(lowest > level, area, 0) for level in range(len(thresholds))]
        mask, row, column = np.nonzero(lowest < highest)
        for part, values in self.pixels(logits, masks[mask], row, column):
            tiles = mask[part], row[part], column[part]
            for of_tiles, threshold in zip(counts, thresholds, strict=True):
                of_tiles[tiles] = _count_each(values > threshold)
        return counts

    def pixels(
        self, logits: Float32, mask: Int64, row: Int64, column: Int64
    ) -> Iterator[tuple[slice, Float32]]:
        """Interpolate n tiles.

        Args:
            logits: (m, low, low), of all masks.
            mask: (n,) mask of each tile.
            row: (n,) row of each tile.
            column: (n,) column of each tile.

        Yields:
            A range of the n tiles, and their (k, TILE, TILE) values, column-major: [k, x, y].
            Values beyond the image are NaN.
        """
        rows, columns = self.rows, self.columns
        windows = sliding_window_view(logits, (rows.taps, columns.taps), axis=(1, 2))
        step = max(1, _CHUNK_VALUES // max(TILE * TILE, rows.taps * columns.taps))
        for start in range(0, len(mask), step):
            part = slice(start, start + step)
            r, c = row[part], column[part]
            near = torch.from_numpy(windows[mask[part], rows.starts[r], columns.starts[c]])
            tall = near.mT @ torch.from_numpy(self._down[r])  # (k, taps of columns, TILE)
            yield part, (torch.from_numpy(columns.weights[c]) @ tall).numpy()

    def _px_count(self, merge: np.ufunc, flags: Bool) -> Int64:
        merged = _sliding(merge, _sliding(merge, flags, _REACH, 1), _REACH, 2)
        return _weighted(merged, self.rows.px, self.columns.px)

    def _by_tile(self, extreme: np.ufunc, levels: Levels) -> Levels:
        rows, columns = self.rows, self.columns
        by_row = np.take(_sliding(extreme, levels, rows.taps, 1), rows.starts, axis=1)
        return np.take(_sliding(extreme, by_row, columns.taps, 2), columns.starts, axis=2)


def _sliding(merge: np.ufunc, x: NDArray[Any], width: int, axis: int) -> NDArray[Any]:
    """Merge all `width` neighbours along an axis of (m, r, c), in about log2(width) steps."""
    merged = 1
    while merged < width:
        step = min(merged, width - merged)
        n = x.shape[axis] - step
        x = merge(x[:, :n], x[:, step:]) if axis == 1 else merge(x[..., :n], x[..., step:])
        merged += step
    return x


def _weighted(flags: Bool, rows: Float32, columns: Float32) -> Int64:
    """Sum the integers `rows[r] * columns[c]` over the set flags: (m, r, c) to (m,)."""
    by_row = np.einsum("mrc,c->mr", flags, columns)  # float32 is exact up to 2**24 px per row
    return np.einsum("mr,r->m", by_row.astype(np.float64), rows).astype(np.int64)


def _count_each(flags: Bool) -> Int64:
    """Count the set flags of each tile: (k, TILE, TILE) to (k,)."""
    words = flags.reshape(len(flags), -1).view(np.uint64)
    sums = words.sum(axis=1)  # sums eight bytes at once; each sum is at most TILE**2 / 8 = 128
    return sums.view(np.uint8).reshape(-1, 8).sum(axis=1, dtype=np.int64)
