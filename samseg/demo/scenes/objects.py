"""The recurring objects of the scenes: each kind keeps its colour, texture and shape.

An object is drawn in its own coordinates: `u` and `v` are 0 at its centre, and it extends to about
1 along `u`. Only details that vary among real objects are random (ripeness, positions of chocolate
chips).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from samseg.demo.scenes.noise import Field, fractal, mix, step


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """The shape and material of an object, without lighting.

    Attributes:
        inside: (h, w), distance to the outline in units of the object, positive inside.
        colour: (h, w, 3) in [0, 1].
        height: (h, w), height above the table, in the same units.
        gloss: strength of the highlight.
    """

    inside: Field
    colour: Field
    height: Field
    gloss: float


Draw = Callable[[Field, Field, np.random.Generator], Solid]


def orange(u: Field, v: Field, rng: np.random.Generator) -> Solid:
    """Draw a whole orange with pores and the star of its stem."""
    r = np.hypot(u, v) / 0.82
    pores = fractal(u.shape, rng, 5, 2)
    ripe = fractal(u.shape, rng, u.shape[0] / 2, 2)
    skin = mix((0.97, 0.55, 0.08), (0.93, 0.42, 0.05), 0.5 + 0.4 * ripe + 0.15 * pores)
    angle, off = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.4)
    su, sv = u - off * np.cos(angle), v - off * np.sin(angle)
    star = np.hypot(su, sv) - 0.06 - 0.025 * np.cos(5 * np.arctan2(sv, su))
    colour = mix(skin, (0.36, 0.42, 0.16), step(-star, 0, 0.03))
    return Solid((1 - r) * 0.82, colour, _dome(r) * 0.8 + 0.006 * pores, gloss=0.35)


def lime_slice(u: Field, v: Field, rng: np.random.Generator) -> Solid:
    """Draw a slice of lime: rind, pith and nine segments."""
    r = np.hypot(u, v) / 0.74
    angle = np.arctan2(v, u) + 0.1 * fractal(u.shape, rng, u.shape[0] / 3, 2)
    wall = np.abs((angle * 9 / (2 * np.pi)) % 1 - 0.5) * 2  # 1 on the walls between segments
    pulp_fibre = fractal(u.shape, rng, 6, 2)
    pulp = mix((0.72, 0.84, 0.36), (0.56, 0.74, 0.22), 0.5 + 0.5 * pulp_fibre)
    pith = (0.93, 0.95, 0.78)
    walls = step(wall * r, 0.93 * r - 0.09, 0.06) + step(0.10 - r, 0, 0.06)
    flesh = mix(pulp, pith, walls)
    colour = mix(flesh, pith, step(r, 0.82, 0.04))
    colour = mix(colour, (0.22, 0.50, 0.10), step(r, 0.93, 0.05))
    height = 0.10 * step(1 - r, 0.03, 0.06) + 0.004 * pulp_fibre
    return Solid((1 - r) * 0.74, colour, height, gloss=0.22)


def cookie(u: Field, v: Field, rng: np.random.Generator) -> Solid:
    """Draw a cookie with chocolate chips."""
    angle = np.arctan2(v, u)
    wave = sum(
        rng.uniform(0.2, 1) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5, 7)
    )
    r = np.hypot(u, v) / (0.86 * (1 + 0.014 * np.asarray(wave)))
    crumb = fractal(u.shape, rng, 12, 4)
    dough = mix((0.83, 0.60, 0.33), (0.68, 0.42, 0.18), 0.25 + 0.45 * crumb + 0.55 * r**4)
    height = 0.16 * np.sqrt(np.clip(1 - r**6, 0, 1)) + 0.018 * crumb
    for _ in range(int(rng.integers(8, 12))):
        at, far = rng.uniform(0, 2 * np.pi), 0.74 * np.sqrt(rng.uniform(0.01, 1))
        chip_r = np.hypot(u - far * np.cos(at), v - far * np.sin(at)) / rng.uniform(0.08, 0.13)
        chip = step(1 - chip_r + 0.25 * crumb, 0, 0.25)
        dough = mix(dough, (0.20, 0.10, 0.05), chip)
        height = height + 0.045 * chip * np.sqrt(np.clip(1 - chip_r**2, 0, 1))
    return Solid((1 - r) * 0.86, dough, height, gloss=0.10)


def leaf(u: Field, v: Field, rng: np.random.Generator) -> Solid:
    """Draw a pointed leaf with veins and a stalk."""
    bent = v - rng.uniform(-0.12, 0.12) * (1 - u**2)
    along = np.clip((u + 0.9) / 1.85, 0, 1)  # 0 at the stalk, 1 at the tip
    half = 0.40 * np.clip(np.sin(np.pi * along**0.8), 0, 1) ** 0.9 * (1 - 0.25 * along)
    inside = np.where(np.abs(u) < 0.95, half - np.abs(bent), -1)
    stalk = np.where((u < -0.8) & (u > -1.12), 0.025 - np.abs(bent), -1)
    shade = fractal(u.shape, rng, u.shape[0] / 3, 3)
    blade = mix((0.25, 0.52, 0.18), (0.14, 0.38, 0.13), 0.5 + 0.5 * shade)
    side = np.abs(((u - np.abs(bent) * 0.9) * 6.5) % 1 - 0.5)
    veins = np.maximum(0.6 * step(0.10 - side, 0, 0.08), step(0.022 - np.abs(bent), 0, 0.02))
    colour = mix(blade, (0.52, 0.68, 0.34), veins)
    height = 0.06 + 0.10 * np.abs(bent) - 0.02 * veins + 0.02 * np.cos(u * 3)
    return Solid(np.maximum(inside, stalk), colour, height, gloss=0.18)


def pencil(u: Field, v: Field, rng: np.random.Generator) -> Solid:
    """Draw a blue pencil: point, wood, hexagonal body, ferrule and eraser."""
    wide = 0.062
    width = np.where(u > 0.72, wide * np.clip((1.0 - u) / 0.28, 0, 1), wide)
    inside = np.minimum(width - np.abs(v), np.minimum(u + 1.0, 1.0 - u))
    face = np.clip(np.floor((v / wide + 1) * 1.5), 0, 2)
    body = np.array([(0.12, 0.32, 0.66), (0.20, 0.45, 0.82), (0.10, 0.26, 0.56)])[face.astype(int)]
    scallop = 0.70 + 0.018 * np.abs(np.sin(v / wide * np.pi * 1.5))
    colour = mix(body, (0.87, 0.70, 0.48), step(u, 0, 0.02) * (u > scallop))
    colour = mix(colour, (0.16, 0.16, 0.19), step(u, 0.91, 0.01))
    ridges = 0.5 + 0.5 * np.sin(u * 190)
    metal = mix((0.66, 0.67, 0.70), (0.86, 0.87, 0.88), ridges)
    colour = mix(metal, colour, step(u, -0.80, 0.01))
    colour = mix((0.92, 0.55, 0.56), colour, step(u, -0.90, 0.01))
    height = np.sqrt(np.clip(width**2 - v**2, 0, None)) * (1 + 0.1 * rng.uniform())
    return Solid(inside, colour, height, gloss=0.30)


def cup(u: Field, v: Field, rng: np.random.Generator) -> Solid:
    """Draw a white cup of coffee, seen from above."""
    r = np.hypot(u, v)
    body = 0.72 - r
    handle = 0.075 - np.abs(np.hypot((u - 0.80) * 1.0, v * 1.25) - 0.19)
    inside = np.maximum(body, np.where(u > 0.55, handle, -1))
    swirl = fractal(u.shape, rng, u.shape[0] / 4, 4)
    crema = mix((0.36, 0.20, 0.09), (0.62, 0.40, 0.20), 0.35 + 0.5 * swirl + step(r, 0.5, 0.16))
    glaze = (0.93, 0.93, 0.91)
    wall = mix((0.70, 0.69, 0.66), glaze, step(r, 0.585, 0.06))
    colour = mix(crema, wall, step(r, 0.555, 0.02))
    rim = 0.55 + 0.05 * np.sqrt(np.clip(1 - ((r - 0.65) / 0.07) ** 2, 0, 1))
    height = np.where(r < 0.72, 0.44 + (rim - 0.44) * step(r, 0.57, 0.08), 0.36)
    tube = 0.06 * np.sqrt(np.clip(1 - ((handle - 0.075) / 0.075) ** 2, 0, 1))
    height = np.where(r < 0.72, height, height + tube)
    return Solid(inside, colour, height, gloss=0.30)


def _dome(r: Field) -> Field:
    return np.sqrt(np.clip(1 - r**2, 0, 1))


OBJECTS: dict[str, tuple[Draw, float]] = {
    "orange": (orange, 1.0),
    "lime_slice": (lime_slice, 0.95),
    "cookie": (cookie, 1.0),
    "leaf": (leaf, 1.15),
    "pencil": (pencil, 2.3),
    "cup": (cup, 1.45),
}
"""Every kind by name: its drawing function, and its half length relative to an orange's."""
