"""Table scenes: a surface, objects on it, light from one side, and the instance of every pixel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from samseg.demo.scenes.noise import Field, smooth
from samseg.demo.scenes.objects import OBJECTS, Solid
from samseg.demo.scenes.surfaces import SURFACES
from samseg.types import Int32, Pixels

_MAX_ATTEMPTS = 80
_MAX_OVERLAP = 0.18
"""Largest fraction of an object that a later object may cover."""
_MARGIN = 0.55
"""Minimum distance of an object's centre from the image border, in half lengths."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One generated image and its ground truth.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        instances: (h, w) int32: 0 is the table, i > 0 the visible part of object i.
        kinds: name of the kind of object i at position i - 1.
    """

    pixels: Pixels
    instances: Int32
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Light:
    """Light from above and one side: unit vector towards it (x, y, z), and its RGB tint."""

    towards: tuple[float, float, float]
    tint: tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """A placed object: its window in the image, its shape there, its coverage, its size in px."""

    window: tuple[slice, slice]
    solid: Solid
    alpha: Field
    radius: float


def draw_scene(
    seed: int, size: tuple[int, int] = (480, 640), objects: tuple[int, int] = (7, 11)
) -> Scene:
    """Draw one scene; the same arguments give the same scene.

    Args:
        seed: determines the surface, the light, the objects and their places.
        size: (h, w) in px.
        objects: minimum and maximum number of objects; fewer where no space is left.
    """
    rng = np.random.default_rng(seed)
    light = _light(rng)
    surface = list(SURFACES.values())[seed % len(SURFACES)]
    canvas = surface(size, rng).astype(np.float32)
    instances = np.zeros(size, dtype=np.int32)
    kinds: list[str] = []
    for kind in _choose_kinds(rng, int(rng.integers(objects[0], objects[1] + 1))):
        placed = _place(kind, instances, rng)
        if placed is not None:
            kinds.append(kind)
            _shade(canvas, placed, light)
            instances[placed.window][placed.alpha > 0.5] = len(kinds)
    return Scene(_photograph(canvas, light, rng), instances, tuple(kinds))


def _choose_kinds(rng: np.random.Generator, n: int) -> list[str]:
    """Choose n kinds, each about equally often, the largest first."""
    names = list(OBJECTS)
    chosen = [names[i] for _ in range(-(-n // len(names))) for i in rng.permutation(len(names))]
    return sorted(chosen[:n], key=lambda kind: -OBJECTS[kind][1])


def _place(kind: str, instances: Int32, rng: np.random.Generator) -> _Placed | None:
    draw, length = OBJECTS[kind]
    h, w = instances.shape
    for _ in range(_MAX_ATTEMPTS):
        radius = float(min(h, w) * rng.uniform(0.095, 0.125) * length)
        margin = _MARGIN * radius
        centre = rng.uniform(margin, h - margin), rng.uniform(margin, w - margin)
        angle = rng.uniform(0, 2 * np.pi)
        window, u, v = _frame(centre, radius, angle, (h, w))
        solid = draw(u, v, rng)
        alpha = np.clip(solid.inside * radius + 0.5, 0, 1).astype(np.float32)
        if _fits(alpha > 0.5, window, instances):
            return _Placed(window, solid, alpha, radius)
    return None


def _frame(
    centre: tuple[float, float], radius: float, angle: float, size: tuple[int, int]
) -> tuple[tuple[slice, slice], Field, Field]:
    """Return the window around an object, and the object's coordinates u and v in it."""
    reach = 1.2 * radius
    top, left = (max(0, int(c - reach)) for c in centre)
    bottom, right = (min(s, int(c + reach) + 2) for c, s in zip(centre, size, strict=True))
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    y, x = (y - centre[0]) / radius, (x - centre[1]) / radius
    u = np.cos(angle) * x + np.sin(angle) * y
    v = np.cos(angle) * y - np.sin(angle) * x
    return (slice(top, bottom), slice(left, right)), u.astype(np.float32), v.astype(np.float32)


def _fits(mask: NDArray[np.bool_], window: tuple[slice, slice], instances: Int32) -> bool:
    """Return whether an object here covers at most `_MAX_OVERLAP` of every other object."""
    below = instances[window]
    hidden = np.bincount(below[mask], minlength=instances.max() + 1)
    whole = np.bincount(instances.ravel(), minlength=instances.max() + 1)
    return bool((hidden[1:] <= _MAX_OVERLAP * whole[1:]).all())


def _shade(canvas: Field, placed: _Placed, light: _Light) -> None:
    """Paint an object and its shadow onto the canvas."""
    _cast_shadow(canvas, placed, light)
    solid = placed.solid
    down, right = np.gradient(solid.height * placed.radius)
    length = np.sqrt(right**2 + down**2 + 1)
    lx, ly, lz = light.towards
    facing = (-right * lx - down * ly + lz) / length
    half = np.array([lx, ly, lz + 1]) / np.linalg.norm([lx, ly, lz + 1])
    glint = np.clip((-right * half[0] - down * half[1] + half[2]) / length, 0, 1) ** 40
    lit = solid.colour * (0.38 + 0.72 * np.clip(facing, 0, 1))[..., None]
    lit = lit + (solid.gloss * glint)[..., None]
    alpha = placed.alpha[..., None]
    canvas[placed.window] = canvas[placed.window] * (1 - alpha) + lit * alpha


def _cast_shadow(canvas: Field, placed: _Placed, light: _Light) -> None:
    """Paint the cast shadow, on the side away from the light, and the contact shadow."""
    tall = float((placed.solid.height * (placed.alpha > 0.5)).max()) * placed.radius
    lx, ly, lz = light.towards
    pad = int(tall * 2 + 14)
    padded = np.pad(placed.alpha, pad)
    dy, dx = (round(-c / lz * tall * 0.55) for c in (ly, lx))
    cast = gaussian_filter(np.roll(padded, (dy, dx), (0, 1)), 2 + 0.16 * tall)
    contact = gaussian_filter(padded, 2.5)
    dark = 1 - np.clip(0.50 * cast + 0.28 * contact, 0, 0.75)

    rows, columns = placed.window
    top, left = rows.start - pad, columns.start - pad
    below = canvas[max(0, top) : top + dark.shape[0], max(0, left) : left + dark.shape[1]]
    inside = dark[max(0, -top) :, max(0, -left) :][: below.shape[0], : below.shape[1]]
    below *= inside[..., None]


def _light(rng: np.random.Generator) -> _Light:
    around, up = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.15)
    warm = rng.uniform(-0.05, 0.06)
    towards = (np.cos(around) * np.cos(up), np.sin(around) * np.cos(up), np.sin(up))
    return _Light(towards, (1 + warm, 1.0, 1 - warm))


def _photograph(canvas: Field, light: _Light, rng: np.random.Generator) -> Pixels:
    """Apply uneven light, exposure, lens blur and sensor noise."""
    h, w = canvas.shape[:2]
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    falloff = 1 + 0.13 * (x * light.towards[0] + y * light.towards[1]) - 0.09 * (x**2 + y**2)
    falloff = falloff + 0.03 * smooth((h, w), rng, (h / 2, w / 2))
    exposed = canvas * (falloff * rng.uniform(0.94, 1.08))[..., None] * np.array(light.tint)
    soft = gaussian_filter(exposed, (0.6, 0.6, 0))
    grain = rng.normal(0, 0.010, (h, w, 1)) + rng.normal(0, 0.004, (h, w, 3))
    return np.rint(255 * np.clip(soft + grain, 0, 1)).astype(np.uint8)
