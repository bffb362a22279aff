"""Lays a table: a surface, things on it, light from one side, and the truth about every pixel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from samseg.demo.scenes.noise import Field, smooth
from samseg.demo.scenes.surfaces import SURFACES
from samseg.demo.scenes.things import THINGS, Solid
from samseg.types import Int32, Pixels

_TRIES = 80
_OVERLAP = 0.18
"""Largest share of a thing that one laid later may cover."""
_MARGIN = 0.55
"""A thing's middle keeps this share of its half length from the border of the picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One generated picture and what is truly in it.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        instances: (h, w) int32: 0 is the table, i > 0 the visible part of thing i.
        kinds: name of the kind of thing i at position i - 1.
    """

    pixels: Pixels
    instances: Int32
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Light:
    """Light from above and one side: unit vector towards it (x, y, z), and its tint."""

    towards: tuple[float, float, float]
    tint: tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Laid:
    """A thing in its place: the window of the picture that it fills, and what it is there."""

    window: tuple[slice, slice]
    solid: Solid
    alpha: Field
    radius: float


def draw_scene(
    seed: int, size: tuple[int, int] = (480, 640), things: tuple[int, int] = (7, 11)
) -> Scene:
    """Draw one scene; the same arguments give the same scene.

    Args:
        seed: chooses everything: surface, light, things and places.
        size: (h, w) in px.
        things: fewest and most things to lay; a crowded table takes fewer.
    """
    rng = np.random.default_rng(seed)
    light = _light(rng)
    surface = list(SURFACES.values())[seed % len(SURFACES)]
    canvas = surface(size, rng).astype(np.float32)
    instances = np.zeros(size, dtype=np.int32)
    kinds: list[str] = []
    for kind in _chosen(rng, int(rng.integers(things[0], things[1] + 1))):
        laid = _find_place(kind, instances, rng)
        if laid is not None:
            kinds.append(kind)
            _shade(canvas, laid, light)
            instances[laid.window][laid.alpha > 0.5] = len(kinds)
    return Scene(_photograph(canvas, light, rng), instances, tuple(kinds))


def _chosen(rng: np.random.Generator, n: int) -> list[str]:
    """Choose n kinds, every kind about equally often; large things are laid first."""
    names = list(THINGS)
    chosen = [names[i] for _ in range(-(-n // len(names))) for i in rng.permutation(len(names))]
    return sorted(chosen[:n], key=lambda kind: -THINGS[kind][1])


def _find_place(kind: str, instances: Int32, rng: np.random.Generator) -> _Laid | None:
    draw, length = THINGS[kind]
    h, w = instances.shape
    for _ in range(_TRIES):
        radius = float(min(h, w) * rng.uniform(0.095, 0.125) * length)
        keep = _MARGIN * radius
        middle = rng.uniform(keep, h - keep), rng.uniform(keep, w - keep)
        angle = rng.uniform(0, 2 * np.pi)
        window, u, v = _frame(middle, radius, angle, (h, w))
        solid = draw(u, v, rng)
        alpha = np.clip(solid.inside * radius + 0.5, 0, 1).astype(np.float32)
        if _fits(alpha > 0.5, window, instances):
            return _Laid(window, solid, alpha, radius)
    return None


def _frame(
    middle: tuple[float, float], radius: float, angle: float, size: tuple[int, int]
) -> tuple[tuple[slice, slice], Field, Field]:
    """Return the window around a thing and its own coordinates in that window."""
    reach = 1.2 * radius
    top, left = (max(0, int(m - reach)) for m in middle)
    bottom, right = (min(s, int(m + reach) + 2) for m, s in zip(middle, size, strict=True))
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    y, x = (y - middle[0]) / radius, (x - middle[1]) / radius
    u = np.cos(angle) * x + np.sin(angle) * y
    v = np.cos(angle) * y - np.sin(angle) * x
    return (slice(top, bottom), slice(left, right)), u.astype(np.float32), v.astype(np.float32)


def _fits(mask: NDArray[np.bool_], window: tuple[slice, slice], instances: Int32) -> bool:
    """Tell whether a thing may lie here: it hides no other by more than `_OVERLAP`."""
    below = instances[window]
    hidden = np.bincount(below[mask], minlength=instances.max() + 1)
    whole = np.bincount(instances.ravel(), minlength=instances.max() + 1)
    return bool((hidden[1:] <= _OVERLAP * whole[1:]).all())


def _shade(canvas: Field, laid: _Laid, light: _Light) -> None:
    """Paint a thing and its shadow onto the canvas."""
    _cast_shadow(canvas, laid, light)
    solid = laid.solid
    down, right = np.gradient(solid.height * laid.radius)
    length = np.sqrt(right**2 + down**2 + 1)
    lx, ly, lz = light.towards
    facing = (-right * lx - down * ly + lz) / length
    half = np.array([lx, ly, lz + 1]) / np.linalg.norm([lx, ly, lz + 1])
    glint = np.clip((-right * half[0] - down * half[1] + half[2]) / length, 0, 1) ** 40
    lit = solid.colour * (0.38 + 0.72 * np.clip(facing, 0, 1))[..., None]
    lit = lit + (solid.gloss * glint)[..., None]
    alpha = laid.alpha[..., None]
    canvas[laid.window] = canvas[laid.window] * (1 - alpha) + lit * alpha


def _cast_shadow(canvas: Field, laid: _Laid, light: _Light) -> None:
    """Darken what lies beside a thing, away from the light, and closely around its foot."""
    tall = float((laid.solid.height * (laid.alpha > 0.5)).max()) * laid.radius
    lx, ly, lz = light.towards
    pad = int(tall * 2 + 14)
    wide = np.pad(laid.alpha, pad)
    dy, dx = (round(-c / lz * tall * 0.55) for c in (ly, lx))
    cast = gaussian_filter(np.roll(wide, (dy, dx), (0, 1)), 2 + 0.16 * tall)
    contact = gaussian_filter(wide, 2.5)
    dark = 1 - np.clip(0.50 * cast + 0.28 * contact, 0, 0.75)

    rows, columns = laid.window
    top, left = rows.start - pad, columns.start - pad
    seen = canvas[max(0, top) : top + dark.shape[0], max(0, left) : left + dark.shape[1]]
    part = dark[max(0, -top) :, max(0, -left) :][: seen.shape[0], : seen.shape[1]]
    seen *= part[..., None]


def _light(rng: np.random.Generator) -> _Light:
    around, up = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.15)
    warm = rng.uniform(-0.05, 0.06)
    towards = (np.cos(around) * np.cos(up), np.sin(around) * np.cos(up), np.sin(up))
    return _Light(towards, (1 + warm, 1.0, 1 - warm))


def _photograph(canvas: Field, light: _Light, rng: np.random.Generator) -> Pixels:
    """Apply uneven light, exposure, the softness of a lens and the grain of a sensor."""
    h, w = canvas.shape[:2]
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    falloff = 1 + 0.13 * (x * light.towards[0] + y * light.towards[1]) - 0.09 * (x**2 + y**2)
    falloff = falloff + 0.03 * smooth((h, w), rng, (h / 2, w / 2))
    exposed = canvas * (falloff * rng.uniform(0.94, 1.08))[..., None] * np.array(light.tint)
    soft = gaussian_filter(exposed, (0.6, 0.6, 0))
    grain = rng.normal(0, 0.010, (h, w, 1)) + rng.normal(0, 0.004, (h, w, 3))
    return np.rint(255 * np.clip(soft + grain, 0, 1)).astype(np.uint8)
