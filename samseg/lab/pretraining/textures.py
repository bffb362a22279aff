"""Textures of generated scenes.

The parameters of a texture (colours, pattern, scale, direction) are fixed when it is chosen; the
noise is drawn anew each time it is painted. Two objects of one kind look alike but never equal.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from samseg.types import Pixels

Paint = NDArray[np.float32]
"""(h, w, 3) colours, about 0 to 255."""

Field = NDArray[np.float32]
"""(h, w) shares of the second colour, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Texture:
    """A surface.

    Attributes:
        colours: two RGB colours.
        pattern: name in `PATTERNS`, or `photo`.
        scale: size of the pattern in px.
        angle: its direction in radians.
        grain: standard deviation of the noise.
        photo: index of the photograph that it is cut from; only for `photo`.
        tint: order of the photograph's channels.
        where: (y, x) position in the photograph, relative to its height and width.
    """

    colours: tuple[tuple[float, float, float], tuple[float, float, float]]
    pattern: str
    scale: float
    angle: float
    grain: float
    photo: int
    tint: tuple[int, int, int]
    where: tuple[float, float]

    @classmethod
    def choose(cls, rng: np.random.Generator, photos: int, photographic: float) -> "Texture":
        """Draw the parameters of a texture at random.

        Args:
            rng: random generator.
            photos: number of available photographs.
            photographic: share of textures cut from them.
        """
        first = _colour(rng)
        near = rng.random() < 0.5  # subtle patterns are as common as loud ones
        second = np.clip(first + rng.normal(0, 35, 3), 0, 255) if near else _colour(rng)
        cut = photos > 0 and rng.random() < photographic
        plain = (0, 1, 2) if rng.random() < 0.7 else tuple(int(i) for i in rng.permutation(3))
        return cls(
            colours=(tuple(first.tolist()), tuple(second.tolist())),
            pattern="photo" if cut else str(rng.choice(list(PATTERNS))),
            scale=float(2 ** rng.uniform(1.0, 6.0)),
            angle=float(rng.uniform(0, np.pi)),
            grain=float(max(0.0, rng.normal(3, 5))),
            photo=int(rng.integers(max(photos, 1))),
            tint=(plain[0], plain[1], plain[2]),
            where=(float(rng.random()), float(rng.random())),
        )

    def paint(
        self, rng: np.random.Generator, size: tuple[int, int], photos: Sequence[Pixels]
    ) -> Paint:
        """Paint an area of `size` (h, w) px."""
        h, w = size
        if self.pattern == "photo":
            painted = self._cut(rng, size, photos[self.photo])
        else:
            share = PATTERNS[self.pattern](rng, h, w, self.scale, self.angle)[..., None]
            first, second = (np.array(c, dtype=np.float32) for c in self.colours)
            painted = first + (second - first) * share
        if self.grain > 1:
            painted = painted + rng.normal(0, self.grain, (h, w, 1)).astype(np.float32)
        return painted

    def _cut(self, rng: np.random.Generator, size: tuple[int, int], photo: Pixels) -> Paint:
        """Tile an area with a small crop of a photograph and its mirror images.

        A small crop looks uniform, as a surface does; a large one would show objects.
        """
        shortest = min(photo.shape[:2])
        side = min(16 + int(self.scale), shortest)
        top, left = (
            int(np.clip((at + rng.uniform(-0.03, 0.03)) * (n - side), 0, n - side))
            for at, n in zip(self.where, photo.shape[:2], strict=True)
        )
        piece = photo[top : top + side, left : left + side][..., self.tint]
        y, x = (
            np.abs((np.arange(n) + rng.integers(2 * side)) % (2 * side) - side + 0.5).astype(int)
            for n in size
        )
        return piece[y][:, x].astype(np.float32)


def clutter(rng: np.random.Generator, size: tuple[int, int], photo: Pixels) -> Paint:
    """Fill an area with a large crop of a photograph, objects included, enlarged at most twice."""
    tall, wide = (
        min(side, int(n / rng.uniform(0.5, 2.0)))
        for n, side in zip(size, photo.shape[:2], strict=True)
    )
    top, left = (
        int(rng.integers(n - cut + 1)) for n, cut in zip(photo.shape[:2], (tall, wide), strict=True)
    )
    piece = photo[top : top + tall, left : left + wide]
    return cv2.resize(piece, size[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)


def smooth_noise(rng: np.random.Generator, h: int, w: int, cell: float) -> Field:
    """Return noise in [0, 1] that varies over `cell` px."""
    grid = rng.random((int(h / cell) + 2, int(w / cell) + 2), dtype=np.float32)
    return np.asarray(cv2.resize(grid, (w, h)), dtype=np.float32)


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw an RGB colour; muted colours are more frequent than saturated ones, as in photos."""
    grey, spread = rng.uniform(15, 240), rng.gamma(1.5, 25)
    return np.clip(grey + rng.normal(0, spread, 3), 0, 255)


def _along(h: int, w: int, angle: float) -> Field:
    """Return (h, w) the coordinate of each px along a direction, in px."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    return np.asarray(np.cos(angle) * x + np.sin(angle) * y, dtype=np.float32)


def _plain(_: np.random.Generator, h: int, w: int, scale: float, angle: float) -> Field:
    return np.zeros((h, w), dtype=np.float32)


def _gradient(_: np.random.Generator, h: int, w: int, scale: float, angle: float) -> Field:
    way = _along(h, w, angle)
    return np.asarray((way - way.min()) / (np.ptp(way) + 1e-6), dtype=np.float32)


def _stripes(rng: np.random.Generator, h: int, w: int, scale: float, angle: float) -> Field:
    bent = _along(h, w, angle) + scale * smooth_noise(rng, h, w, 4 * scale)
    return np.clip(0.5 + 2 * np.sin(bent * (2 * np.pi / scale)), 0, 1)


def _clouds(rng: np.random.Generator, h: int, w: int, scale: float, angle: float) -> Field:
    return smooth_noise(rng, h, w, scale)


def _fractal(rng: np.random.Generator, h: int, w: int, scale: float, angle: float) -> Field:
    cells = [max(1.5, scale / 2**octave) for octave in range(5)]
    total = sum(cell * smooth_noise(rng, h, w, cell) for cell in cells)
    return np.asarray(total / sum(cells), dtype=np.float32)


def _patches(rng: np.random.Generator, h: int, w: int, scale: float, angle: float) -> Field:
    return np.clip(0.5 + 8 * (_fractal(rng, h, w, scale, angle) - 0.5), 0, 1)


def _checks(rng: np.random.Generator, h: int, w: int, scale: float, angle: float) -> Field:
    first, second = _along(h, w, angle), _along(h, w, angle + np.pi / 2)
    return ((first // scale + second // scale) % 2).astype(np.float32)


def _spots(rng: np.random.Generator, h: int, w: int, scale: float, angle: float) -> Field:
    return np.clip(12 * (smooth_noise(rng, h, w, scale) - 0.68), 0, 1)


def _fibres(rng: np.random.Generator, h: int, w: int, scale: float, angle: float) -> Field:
    long = rng.random((int(h / 2) + 2, int(w / (4 * scale)) + 2), dtype=np.float32)
    if angle > np.pi / 2:
        long = rng.random((int(h / (4 * scale)) + 2, int(w / 2) + 2), dtype=np.float32)
    return np.asarray(cv2.resize(long, (w, h)), dtype=np.float32)


PATTERNS: dict[str, Callable[[np.random.Generator, int, int, float, float], Field]] = {
    "plain": _plain,
    "gradient": _gradient,
    "stripes": _stripes,
    "clouds": _clouds,
    "fractal": _fractal,
    "patches": _patches,
    "checks": _checks,
    "spots": _spots,
    "fibres": _fibres,
}
"""Patterns: (rng, h, w, scale, angle) -> (h, w) shares of the second colour."""
