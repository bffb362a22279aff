"""Kinds of generated objects, which recur within a scene and across scenes."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from samseg.lab.pretraining.outlines import Outline
from samseg.lab.pretraining.textures import Paint, Texture
from samseg.types import Bool, Pixels


@dataclass(frozen=True, slots=True)
class Part:
    """A part on the surface of an object, such as a label, a lid or an eye.

    Attributes:
        outline: its shape.
        texture: its surface.
        at: (along, across) from the centre of the object, relative to the object's radius.
        radius: relative to the object's radius.
    """

    outline: Outline
    texture: Texture
    at: tuple[float, float]
    radius: float


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object.

    Attributes:
        number: identifies the kind.
        outline: its shape.
        texture: its surface.
        parts: parts of every object of the kind.
        relief: how much darker the rim is than the centre, 0 for a flat object.
        gloss: strength of its highlight.
    """

    number: int
    outline: Outline
    texture: Texture
    parts: tuple[Part, ...]
    relief: float
    gloss: float

    @classmethod
    def of(cls, number: int, photos: int, photographic: float) -> "Kind":
        """Return kind `number`, a deterministic function of the arguments."""
        rng = np.random.default_rng([7177, number])
        parts = tuple(
            Part(
                Outline.choose(rng),
                Texture.choose(rng, photos, photographic),
                at=(float(rng.uniform(-0.45, 0.45)), float(rng.uniform(-0.25, 0.25))),
                radius=float(rng.uniform(0.18, 0.5)),
            )
            for _ in range(int(rng.choice([0, 0, 1, 2, 3])))
        )
        return cls(
            number=number,
            outline=Outline.choose(rng),
            texture=Texture.choose(rng, photos, photographic),
            parts=parts,
            relief=float(rng.choice([0.0, rng.uniform(0.15, 0.6)])),
            gloss=float(rng.choice([0.0, rng.uniform(20, 110)])),
        )


@dataclass(frozen=True, slots=True, eq=False)
class DrawnObject:
    """An object before it is placed in a scene.

    Attributes:
        mask: (h, w) bool of the canvas.
        colours: (h, w, 3) float32; only px inside the mask are used.
        parts: masks of its parts, each within `mask`.
    """

    mask: Bool
    colours: Paint
    parts: tuple[Bool, ...]


def draw(
    kind: Kind,
    rng: np.random.Generator,
    size: tuple[int, int],
    centre: tuple[float, float],
    radius: float,
    light: NDArray[np.float64],
    photos: list[Pixels],
) -> DrawnObject:
    """Draw one object of a kind.

    Args:
        kind: kind of the object.
        rng: random generator.
        size: (h, w) of the canvas in px.
        centre: (x, y) px.
        radius: half its length in px.
        light: (2,) unit vector in the image plane, towards the light.
        photos: photographs for textures.
    """
    angle = rng.uniform(0, 2 * np.pi)
    mask = kind.outline.draw(rng, size, centre, radius, angle)
    colours = kind.texture.paint(rng, size, photos) * np.float32(rng.uniform(0.85, 1.15))
    parts = []
    for part in kind.parts:
        along, across = part.at[0] * radius, part.at[1] * radius * kind.outline.aspect
        x = centre[0] + np.cos(angle) * along - np.sin(angle) * across
        y = centre[1] + np.sin(angle) * along + np.cos(angle) * across
        inner = part.outline.draw(rng, size, (x, y), part.radius * radius, angle) & mask
        colours = np.where(inner[..., None], part.texture.paint(rng, size, photos), colours)
        parts.append(inner)
    return DrawnObject(mask, _lit(colours, mask, kind, light), tuple(parts))


def _lit(colours: Paint, mask: Bool, kind: Kind, light: NDArray[np.float64]) -> Paint:
    """Shade an object as if it bulged towards the viewer."""
    if kind.relief == 0:
        return colours
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    height = np.sqrt(depth / (depth.max() + 1e-6))
    height = cv2.GaussianBlur(height, (0, 0), 1 + 0.05 * float(depth.max()))
    down, right = np.gradient(height * float(depth.max()))
    facing = -(right * light[0] + down * light[1])
    bright = 1 - kind.relief * (1 - height) + 0.5 * kind.relief * np.clip(facing, -1, 1)
    glint = kind.gloss * np.clip(facing * height, 0, 1) ** 4
    return (colours * bright[..., None] + glint[..., None]).astype(np.float32)
