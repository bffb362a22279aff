"""Outlines of generated objects: closed curves around a centre, drawn as filled polygons."""

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from samseg.types import Bool

_POINTS = 72
_SHIFT = 4
"""Fractional bits of the polygon's coordinates."""

Family = Literal["ellipse", "box", "polygon", "blob", "star", "leaf", "ring", "bar"]
FAMILIES: tuple[Family, ...] = (
    "ellipse", "ellipse", "box", "polygon", "blob", "blob", "star", "leaf", "ring", "bar"
)  # fmt: skip
"""Families in the proportions in which they are drawn: ellipses and blobs are most common."""


@dataclass(frozen=True, slots=True)
class Outline:
    """The shared shape of the outlines of one kind of object.

    Attributes:
        family: type of curve.
        aspect: width over length.
        corners: of a polygon; points of a star.
        irregular: relative amplitude of the deviations of single outlines.
        bend: half the angle of a bent bar, in radians.
    """

    family: Family
    aspect: float
    corners: int
    irregular: float
    bend: float

    @classmethod
    def choose(cls, rng: np.random.Generator) -> "Outline":
        """Draw the parameters of an outline at random."""
        return cls(
            family=FAMILIES[rng.integers(len(FAMILIES))],
            aspect=float(rng.uniform(0.35, 1.0)),
            corners=int(rng.integers(3, 8)),
            irregular=float(rng.choice([0.02, 0.08, 0.2])),
            bend=float(rng.uniform(0, 1.8)),
        )

    def draw(
        self,
        rng: np.random.Generator,
        size: tuple[int, int],
        centre: tuple[float, float],
        radius: float,
        angle: float,
    ) -> Bool:
        """Draw one such outline, filled.

        Args:
            rng: random generator.
            size: (h, w) of the canvas in px.
            centre: (x, y) px.
            radius: half its length in px.
            angle: its direction in radians.

        Returns:
            (h, w) bool.
        """
        filled = np.zeros(size, dtype=np.uint8)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        curve = self._curve(rng) @ turn.T * radius + np.array(centre)
        _fill(filled, curve, 1)
        if self.family == "ring":
            hole = replace(self, family="ellipse")._curve(rng) @ turn.T * (0.62 * radius)
            _fill(filled, hole + np.array(centre), 0)
        return filled > 0

    def _curve(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return (n, 2) xy of a closed curve roughly within the unit circle."""
        if self.family == "bar":
            return self._bar(rng)
        angles = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
        r = self._radii(angles, rng)
        for wave in (2, 3, 5):
            height, phase = self.irregular * rng.normal() / wave, rng.uniform(0, 2 * np.pi)
            r = r * (1 + height * np.cos(wave * angles + phase))
        aspect = self.aspect * float(rng.uniform(0.9, 1.1))
        return np.stack([r * np.cos(angles), aspect * r * np.sin(angles)], axis=1)

    def _radii(self, angles: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the radius of the ideal curve in each direction."""
        if self.family == "box":  # a superellipse: a box with rounded corners
            return (np.abs(np.cos(angles)) ** 8 + np.abs(np.sin(angles)) ** 8) ** (-1 / 8) / 1.3
        if self.family == "polygon":
            sector = np.pi / self.corners
            return np.cos(sector) / np.cos((angles % (2 * sector)) - sector)
        if self.family == "star":
            return 0.7 + 0.3 * np.cos(max(4, self.corners) * angles)
        if self.family == "leaf":
            return 0.25 + 0.75 * np.abs(np.cos(angles)) ** 1.5
        if self.family == "blob":
            waves = [rng.normal() / k * np.cos(k * angles + rng.uniform(0, 6.3)) for k in (2, 3, 4)]
            return np.clip(0.8 + 0.3 * np.sum(waves, axis=0), 0.3, 1.15)
        return np.ones_like(angles)

    def _bar(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the outline of a thin, bent bar."""
        bend = self.bend * float(rng.uniform(0.7, 1.3)) + 1e-3
        thick = 0.06 + 0.16 * self.aspect
        along = np.linspace(-1, 1, _POINTS // 2)
        spine = np.stack([np.sin(bend * along), np.cos(bend * along) - np.cos(bend)], axis=1) / bend
        out = np.stack([np.sin(bend * along), np.cos(bend * along)], axis=1)
        taper = (thick * (1 - 0.5 * np.abs(along) ** 3))[:, None]
        return np.concatenate([spine + out * taper, (spine - out * taper)[::-1]])


def _fill(canvas: NDArray[np.uint8], curve: NDArray[np.float64], value: int) -> None:
    corners = np.rint(curve * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(canvas, [corners], value, lineType=cv2.LINE_8, shift=_SHIFT)
