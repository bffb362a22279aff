"""Layout of the charts of a fit: two quantities over the radius, one above the other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Frame:
    """Size of a drawing, and the edges of the plot in it, px."""

    width: int = 460
    height: int = 150
    left: int = 46
    right: int = 440
    top: int = 22
    bottom: int = 110


FRAME = Frame()
_TICKS = 4
_QUANTITIES = {"classes": "number of classes", "information": "agreement of two halves (nats)"}


@dataclass(frozen=True, slots=True)
class Axes:
    """One chart, laid out in px of the drawing.

    Attributes:
        title: what the vertical axis shows, with its unit.
        points: of the line, as SVG writes them.
        x_ticks: (x, label) along the horizontal axis.
        y_ticks: (y, label) along the vertical axis.
        chosen: x of the radius in use, or None if it is not in the range.
    """

    title: str
    points: str
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    chosen: float | None


def chart(curve: Sequence[Mapping[str, Any]], eps: float | None) -> list[Axes]:
    """Lay out the charts of a fit.

    Args:
        curve: one row per radius: `eps`, `classes` and `information`.
        eps: the radius in use.

    Returns:
        One chart per quantity that the curve has; none for fewer than two radii.
    """
    rows = [r for r in curve if r.get("eps") is not None and r.get("classes") is not None]
    rows.sort(key=lambda r: float(r["eps"]))
    radii = [float(r["eps"]) for r in rows]
    if len(rows) < 2 or radii[0] == radii[-1]:
        return []

    def x_of(radius: float) -> float:
        share = (radius - radii[0]) / (radii[-1] - radii[0])
        return round(FRAME.left + share * (FRAME.right - FRAME.left), 1)

    x_ticks = [
        (x_of(radius), f"{radius:.6g}")
        for radius in _round_values(radii[0], radii[-1])
        if radii[0] <= radius <= radii[-1]
    ]
    chosen = x_of(eps) if eps is not None and radii[0] <= eps <= radii[-1] else None
    return [
        _axes(title, [float(r.get(name) or 0) for r in rows], [*map(x_of, radii)], x_ticks, chosen)
        for name, title in _QUANTITIES.items()
        if any(r.get(name) for r in rows)
    ]


def _axes(
    title: str,
    values: Sequence[float],
    xs: Sequence[float],
    x_ticks: Sequence[tuple[float, str]],
    chosen: float | None,
) -> Axes:
    ticks = _round_values(min(0.0, *values), max(0.0, *values))

    def y_of(value: float) -> float:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return round(FRAME.bottom - share * (FRAME.bottom - FRAME.top), 1)

    points = " ".join(f"{x},{y_of(value)}" for x, value in zip(xs, values, strict=True))
    return Axes(title, points, x_ticks, [(y_of(t), f"{t:.6g}") for t in ticks], chosen)


def _round_values(low: float, high: float) -> list[float]:
    """Return multiples of a round step (1, 2 or 5 times a power of ten) around a range."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough)
    return [i * step for i in range(math.floor(low / step), math.ceil(high / step) + 1)]
