"""Outlines of generated things: closed curves around their middle, drawn as filled polygons."""

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from samseg.types import Bool

_POINTS = 72
_SHARP = 4
"""Bits of a px that the polygon's corners keep."""

Family = Literal["ellipse", "box", "polygon", "blob", "star", "leaf", "ring", "bar"]
FAMILIES: tuple[Family, ...] = (
    "ellipse", "ellipse", "box", "polygon", "blob", "blob", "star", "leaf", "ring", "bar"
)  # fmt: skip
"""PromptPlan and irregular things are the most common ones."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What the outlines of one kind of thing have in common.

    Attributes:
        family: the kind of curve.
        flat: width over length.
        corners: of a polygon; points of a star.
        irregular: how far single outlines depart from the ideal one.
        bend: how far a bar is bent, in radians.
    """

    family: Family
    flat: float
    corners: int
    irregular: float
    bend: float

    @classmethod
    def choose(cls, rng: np.random.Generator) -> "Outline":
        """Draw an outline."""
        return cls(
            family=FAMILIES[rng.integers(len(FAMILIES))],
            flat=float(rng.uniform(0.35, 1.0)),
            corners=int(rng.integers(3, 8)),
            irregular=float(rng.choice([0.02, 0.08, 0.2])),
            bend=float(rng.uniform(0, 1.8)),
        )

    def draw(
        self,
        rng: np.random.Generator,
        size: tuple[int, int],
        middle: tuple[float, float],
        radius: float,
        angle: float,
    ) -> Bool:
        """Fill one such outline.

        Args:
            rng: source of chance.
            size: (h, w) of the canvas in px.
            middle: (x, y) px.
            radius: half its length in px.
            angle: its direction.

        Returns:
            (h, w) bool.
        """
        filled = np.zeros(size, dtype=np.uint8)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        curve = self._curve(rng) @ turn.T * radius + np.array(middle)
        _fill(filled, curve, 1)
        if self.family == "ring":
            hole = replace(self, family="ellipse")._curve(rng) @ turn.T * (0.62 * radius)
            _fill(filled, hole + np.array(middle), 0)
        return filled > 0

    def _curve(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return (n, 2) xy of a closed curve within about the unit circle."""
        if self.family == "bar":
            return self._bar(rng)
        around = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
        r = self._radii(around, rng)
        for wave in (2, 3, 5):
            height, phase = self.irregular * rng.normal() / wave, rng.uniform(0, 2 * np.pi)
            r = r * (1 + height * np.cos(wave * around + phase))
        flat = self.flat * float(rng.uniform(0.9, 1.1))
        return np.stack([r * np.cos(around), flat * r * np.sin(around)], axis=1)

    def _radii(self, around: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Return how far the ideal curve lies from its middle in each direction."""
        if self.family == "box":  # a superellipse: a box with rounded corners
            return (np.abs(np.cos(around)) ** 8 + np.abs(np.sin(around)) ** 8) ** (-1 / 8) / 1.3
        if self.family == "polygon":
            sector = np.pi / self.corners
            return np.cos(sector) / np.cos((around % (2 * sector)) - sector)
        if self.family == "star":
            return 0.7 + 0.3 * np.cos(max(4, self.corners) * around)
        if self.family == "leaf":
            return 0.25 + 0.75 * np.abs(np.cos(around)) ** 1.5
        if self.family == "blob":
            waves = [rng.normal() / k * np.cos(k * around + rng.uniform(0, 6.3)) for k in (2, 3, 4)]
            return np.clip(0.8 + 0.3 * np.sum(waves, axis=0), 0.3, 1.15)
        return np.ones_like(around)

    def _bar(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return a thin, bent bar: an arc with two sides."""
        bend = self.bend * float(rng.uniform(0.7, 1.3)) + 1e-3
        thick = 0.06 + 0.16 * self.flat
        along = np.linspace(-1, 1, _POINTS // 2)
        spine = np.stack([np.sin(bend * along), np.cos(bend * along) - np.cos(bend)], axis=1) / bend
        out = np.stack([np.sin(bend * along), np.cos(bend * along)], axis=1)
        taper = (thick * (1 - 0.5 * np.abs(along) ** 3))[:, None]
        return np.concatenate([spine + out * taper, (spine - out * taper)[::-1]])


def _fill(canvas: NDArray[np.uint8], curve: NDArray[np.float64], value: int) -> None:
    corners = np.rint(curve * (1 << _SHARP)).astype(np.int32)
    cv2.fillPoly(canvas, [corners], value, lineType=cv2.LINE_8, shift=_SHARP)
