"""Scenes of recurring things with the truth about every pixel, drawn to train on.

A ground of one or more surfaces; things laid on it, some in crowds of one kind, some pasted from
labelled photos; light from one side, shadows, and a camera that blurs, adds noise and compresses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from samseg.lab.pretraining.kinds import DrawnThing, Kind, draw
from samseg.lab.pretraining.picture import UNKNOWN, Region, TrainingPicture
from samseg.lab.pretraining.textures import Paint, Texture, clutter, smooth_noise
from samseg.types import Bool, Int32, Pixels

_LEAST_PX = 24
"""Smaller regions are not worth a click."""

_CLUTTERED = 0.15
"""Share of grounds that are photographs."""


@dataclass(frozen=True, slots=True, eq=False)
class PastedThing:
    """A real thing, cut out of a labelled photo.

    Attributes:
        pixels: (h, w, 3) uint8 RGB of its bounding box.
        mask: (h, w) bool.
        kind: as in `Region`.
    """

    pixels: Pixels
    mask: Bool
    kind: int


@dataclass(frozen=True, slots=True, eq=False)
class Scenery:
    """What scenes are made from.

    Attributes:
        photos: photographs for textures and grounds.
        cutouts: real things to paste.
        kinds: number of kinds of generated things.
        photographic: share of textures cut from photographs.
        pasted: share of scenes with pasted things.
    """

    photos: list[Pixels]
    cutouts: Sequence[PastedThing]
    kinds: int
    photographic: float
    pasted: float

    def draw(self, rng: np.random.Generator, side: int) -> TrainingPicture:
        """Draw a scene of side x side px."""
        canvas = _Canvas(rng, side, self)
        canvas.lay_things()
        if self.cutouts and rng.random() < self.pasted:
            canvas.paste_things(int(rng.integers(2, 10)))
        return TrainingPicture(photographed(rng, canvas.colours), canvas.regions())


class _Canvas:
    """A scene in the making."""

    def __init__(self, rng: np.random.Generator, side: int, scenery: Scenery):
        self._rng, self._side, self._scenery = rng, side, scenery
        around = rng.uniform(0, 2 * np.pi)
        self._light = np.array([np.cos(around), np.sin(around)])
        self._shadow = float(rng.choice([0, rng.uniform(0.15, 0.6)]))
        self._on_top: Int32 = np.zeros((side, side), dtype=np.int32)  # 0: the ground
        self._parts: list[tuple[int, Bool]] = []
        self._kind_of: list[int] = []
        self.colours, self._grounds = self._ground()

    def lay_things(self) -> None:
        """Lay things of a few kinds, at times a crowd of one of them."""
        rng = self._rng
        kinds = self._choose_kinds(int(rng.integers(1, 6)))
        if rng.random() < 0.35:
            self._lay_crowd(kinds[0], int(rng.integers(8, 45)))
            kinds = kinds[1:]
        for _ in range(int(rng.integers(2, 14)) if kinds else 0):
            radius = self._side * float(np.exp(rng.uniform(-3.4, -0.9)))
            middle = rng.uniform(0, self._side, 2)
            kind = kinds[rng.integers(len(kinds))]
            self._lay(kind, radius, (float(middle[0]), float(middle[1])))

    def _choose_kinds(self, n: int) -> list[Kind]:
        """Choose n kinds; low numbers are more common, so that they recur across scenes."""
        scenery = self._scenery
        numbers = (scenery.kinds * self._rng.random(n) ** 2).astype(int)
        return [Kind.of(int(k), len(scenery.photos), scenery.photographic) for k in numbers]

    def _lay(self, kind: Kind, radius: float, middle: tuple[float, float]) -> None:
        """Lay one thing."""
        reach = int(1.3 * radius) + 4  # a window around the thing: most things are small
        left, top = (max(0, int(m) - reach) for m in middle)
        right, bottom = (min(self._side, int(m) + reach) for m in middle)
        if right - left < 8 or bottom - top < 8:
            return
        inner = (middle[0] - left, middle[1] - top)
        drawn = draw(
            kind, self._rng, (bottom - top, right - left), inner, radius, self._light,
            self._scenery.photos,
        )  # fmt: skip
        self._put(drawn, (left, top), kind.number)

    def _lay_crowd(self, kind: Kind, n: int) -> None:
        """Lay many of one kind, of about one size, some touching."""
        rng, side = self._rng, self._side
        radius = side * float(np.exp(rng.uniform(-3.6, -2.2)))
        spread = rng.uniform(0.15, 0.6) * side
        middle = rng.uniform(0.2, 0.8, 2) * side
        for _ in range(n):
            x, y = middle + rng.uniform(-spread, spread, 2)
            self._lay(kind, radius * float(rng.uniform(0.8, 1.25)), (float(x), float(y)))

    def paste_things(self, n: int) -> None:
        """Paste n real things, of few kinds."""
        rng, cutouts = self._rng, self._scenery.cutouts
        wanted = {cutouts[i].kind for i in rng.integers(len(cutouts), size=2)}
        alike = [cutout for cutout in cutouts if cutout.kind in wanted]
        zoom = float(np.exp(rng.uniform(-0.7, 0.5)))
        for _ in range(n):
            self._paste(alike[rng.integers(len(alike))], zoom * float(rng.uniform(0.85, 1.2)))

    def _paste(self, cutout: PastedThing, zoom: float) -> None:
        h, w = cutout.mask.shape
        zoom = min(zoom, 0.8 * self._side / max(h, w))
        turn = cv2.getRotationMatrix2D((w / 2, h / 2), self._rng.uniform(0, 360), zoom)
        reach = int(np.hypot(h, w) * zoom) + 2
        turn[0, 2] += (reach - w) / 2
        turn[1, 2] += (reach - h) / 2
        mask = cv2.warpAffine(cutout.mask.astype(np.uint8), turn, (reach, reach)) > 0
        pixels = cv2.warpAffine(
            cutout.pixels, turn, (reach, reach), flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        x, y = (int(v) for v in self._rng.integers(-reach // 3, self._side - reach // 2, 2))
        rows = slice(max(0, -y), min(reach, self._side - y))
        columns = slice(max(0, -x), min(reach, self._side - x))
        if mask[rows, columns].sum() >= _LEAST_PX:
            drawn = DrawnThing(mask[rows, columns], pixels[rows, columns].astype(np.float32), ())
            self._put(drawn, (max(0, x), max(0, y)), cutout.kind)

    def _put(self, drawn: DrawnThing, corner: tuple[int, int], kind: int) -> None:
        """Paint a thing and its shadow into the scene."""
        h, w = drawn.mask.shape
        window = slice(corner[1], corner[1] + h), slice(corner[0], corner[0] + w)
        below = self.colours[window]
        alpha = cv2.GaussianBlur(drawn.mask.astype(np.float32), (0, 0), 0.6)
        if self._shadow:
            away = (-0.06 * max(h, w) * self._light).round().astype(int)
            beside = np.roll(drawn.mask.astype(np.float32), (away[1], away[0]), (0, 1))
            cast = cv2.GaussianBlur(beside, (0, 0), 1 + 0.02 * max(h, w))
            below *= np.float32(1) - np.float32(self._shadow) * cast[..., None]
        below += alpha[..., None] * (drawn.colours - below)
        self._kind_of.append(kind)
        number = len(self._kind_of)
        self._on_top[window][drawn.mask] = number
        for part in drawn.parts:
            whole = np.zeros(self._on_top.shape, dtype=np.bool_)
            whole[window] = part
            self._parts.append((number, whole))

    def regions(self) -> tuple[Region, ...]:
        """Return what is visible of grounds, things and parts."""
        on_top = self._on_top
        found = [Region((on_top == 0) & ground) for ground in self._grounds]
        found += [Region(on_top == i + 1, kind) for i, kind in enumerate(self._kind_of)]
        found += [Region(part & (on_top == owner)) for owner, part in self._parts]
        return tuple(region for region in found if region.mask.sum() >= _LEAST_PX)

    def _ground(self) -> tuple[Paint, list[Bool]]:
        """Paint what things lie on: one surface, or several that meet along wavy lines.

        At times one is a photograph, which shows things that nobody has outlined: it is no region.
        """
        rng, side, scenery = self._rng, self._side, self._scenery
        photos = len(scenery.photos)

        def surface() -> tuple[Paint, bool]:
            if photos and rng.random() < _CLUTTERED:
                return clutter(rng, (side, side), scenery.photos[rng.integers(photos)]), True
            texture = Texture.choose(rng, photos, scenery.photographic)
            return texture.paint(rng, (side, side), scenery.photos), False

        colours, photo = surface()
        of_photo = [photo]
        owner = np.zeros((side, side), dtype=np.int32)
        surfaces = int(rng.choice([1, 1, 2, 3, 4]))
        y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
        for i in range(1, surfaces):
            angle = rng.uniform(0, 2 * np.pi)
            wavy = rng.uniform(0, 0.5) * (smooth_noise(rng, side, side, side / 4) - 0.5)
            beyond = np.cos(angle) * x + np.sin(angle) * y + wavy > rng.uniform(-0.2, 0.4)
            another, photo = surface()
            colours = np.where(beyond[..., None], another, colours)
            owner[beyond] = i
            of_photo.append(photo)
        grounds = [owner == i for i in range(surfaces) if not of_photo[i]]
        return colours.astype(np.float32), grounds


def photographed(rng: np.random.Generator, colours: Paint) -> Pixels:
    """Take a picture of a scene: light falls off, lenses blur, sensors add noise, files lose."""
    h, w = colours.shape[:2]
    if rng.random() < 0.5:
        colours = colours * (0.7 + 0.6 * smooth_noise(rng, h, w, max(h, w) / 1.5))[..., None]
    if rng.random() < 0.7:
        blurred = cv2.GaussianBlur(colours, (0, 0), float(rng.uniform(0.3, 1.4)))
        colours = np.asarray(blurred, dtype=np.float32)
    colours = colours * np.float32(rng.uniform(0.6, 1.25)) + np.float32(rng.uniform(-25, 25))
    noise = rng.normal(0, rng.uniform(0, 7), colours.shape[:2]).astype(np.float32)
    pixels = np.clip(colours + noise[..., None], 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))]
        pixels = cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_COLOR)
    return np.ascontiguousarray(pixels)


def cutouts(picture: TrainingPicture) -> list[PastedThing]:
    """Cut every region of a known kind out of a picture."""
    found = []
    for region in picture.regions:
        if region.kind != UNKNOWN and region.mask.any():
            rows, columns = (np.flatnonzero(region.mask.any(axis=axis)) for axis in (1, 0))
            box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            found.append(
                PastedThing(picture.pixels[box].copy(), region.mask[box].copy(), region.kind)
            )
    return found
