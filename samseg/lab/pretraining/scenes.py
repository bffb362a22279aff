"""Generated training scenes of recurring objects, with ground truth for every pixel.

A background of one or more surfaces; objects placed on it, some in crowds of one kind, some pasted
from labelled photos; light from one side, shadows, and a simulated camera with blur, noise and
compression.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from samseg.lab.pretraining.kinds import DrawnObject, Kind, draw
from samseg.lab.pretraining.textures import Paint, Texture, clutter, smooth_noise
from samseg.lab.pretraining.training_image import UNKNOWN, Region, TrainingImage
from samseg.types import Bool, Int32, Pixels

_MIN_AREA = 24
"""Area in px below which regions are dropped."""

_CLUTTERED = 0.15
"""Share of background surfaces that are photographs."""


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """A real object, cut out of a labelled photo.

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
    """A source of generated scenes.

    Attributes:
        photos: photographs for textures and backgrounds.
        cutouts: real objects to paste.
        kinds: number of kinds of generated objects.
        photographic: share of textures cut from photographs.
        pasted: share of scenes with pasted objects.
    """

    photos: list[Pixels]
    cutouts: Sequence[Cutout]
    kinds: int
    photographic: float
    pasted: float

    def draw(self, rng: np.random.Generator, side: int) -> TrainingImage:
        """Draw a scene of side x side px."""
        canvas = _Canvas(rng, side, self)
        canvas.place_objects()
        if self.cutouts and rng.random() < self.pasted:
            canvas.paste_objects(int(rng.integers(2, 10)))
        return TrainingImage(simulate_camera(rng, canvas.colours), canvas.regions())


class _Canvas:
    """A scene under construction."""

    def __init__(self, rng: np.random.Generator, side: int, scenery: Scenery):
        self._rng, self._side, self._scenery = rng, side, scenery
        angle = rng.uniform(0, 2 * np.pi)
        self._light = np.array([np.cos(angle), np.sin(angle)])
        self._shadow = float(rng.choice([0, rng.uniform(0.15, 0.6)]))
        self._on_top: Int32 = np.zeros((side, side), dtype=np.int32)  # 0: the background
        self._parts: list[tuple[int, Bool]] = []
        self._kind_of: list[int] = []
        self.colours, self._surfaces = self._background()

    def place_objects(self) -> None:
        """Place objects of a few kinds, sometimes a crowd of one of them."""
        rng = self._rng
        kinds = self._choose_kinds(int(rng.integers(1, 6)))
        if rng.random() < 0.35:
            self._place_crowd(kinds[0], int(rng.integers(8, 45)))
            kinds = kinds[1:]
        for _ in range(int(rng.integers(2, 14)) if kinds else 0):
            radius = self._side * float(np.exp(rng.uniform(-3.4, -0.9)))
            centre = rng.uniform(0, self._side, 2)
            kind = kinds[rng.integers(len(kinds))]
            self._place(kind, radius, (float(centre[0]), float(centre[1])))

    def _choose_kinds(self, n: int) -> list[Kind]:
        """Choose n kinds, preferring low numbers so that these recur across scenes."""
        scenery = self._scenery
        numbers = (scenery.kinds * self._rng.random(n) ** 2).astype(int)
        return [Kind.of(int(k), len(scenery.photos), scenery.photographic) for k in numbers]

    def _place(self, kind: Kind, radius: float, centre: tuple[float, float]) -> None:
        """Place one object."""
        reach = int(1.3 * radius) + 4  # a window around the object: most objects are small
        left, top = (max(0, int(m) - reach) for m in centre)
        right, bottom = (min(self._side, int(m) + reach) for m in centre)
        if right - left < 8 or bottom - top < 8:
            return
        inner = (centre[0] - left, centre[1] - top)
        drawn = draw(
            kind, self._rng, (bottom - top, right - left), inner, radius, self._light,
            self._scenery.photos,
        )  # fmt: skip
        self._put(drawn, (left, top), kind.number)

    def _place_crowd(self, kind: Kind, n: int) -> None:
        """Place many objects of one kind and similar size, some of them touching."""
        rng, side = self._rng, self._side
        radius = side * float(np.exp(rng.uniform(-3.6, -2.2)))
        spread = rng.uniform(0.15, 0.6) * side
        centre = rng.uniform(0.2, 0.8, 2) * side
        for _ in range(n):
            x, y = centre + rng.uniform(-spread, spread, 2)
            self._place(kind, radius * float(rng.uniform(0.8, 1.25)), (float(x), float(y)))

    def paste_objects(self, n: int) -> None:
        """Paste n real objects, of at most two kinds."""
        rng, cutouts = self._rng, self._scenery.cutouts
        wanted = {cutouts[i].kind for i in rng.integers(len(cutouts), size=2)}
        alike = [cutout for cutout in cutouts if cutout.kind in wanted]
        zoom = float(np.exp(rng.uniform(-0.7, 0.5)))
        for _ in range(n):
            self._paste(alike[rng.integers(len(alike))], zoom * float(rng.uniform(0.85, 1.2)))

    def _paste(self, cutout: Cutout, zoom: float) -> None:
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
        if mask[rows, columns].sum() >= _MIN_AREA:
            drawn = DrawnObject(mask[rows, columns], pixels[rows, columns].astype(np.float32), ())
            self._put(drawn, (max(0, x), max(0, y)), cutout.kind)

    def _put(self, drawn: DrawnObject, corner: tuple[int, int], kind: int) -> None:
        """Paint an object and its shadow into the scene."""
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
        """Return the visible regions of background surfaces, objects and parts."""
        on_top = self._on_top
        found = [Region((on_top == 0) & surface) for surface in self._surfaces]
        found += [Region(on_top == i + 1, kind) for i, kind in enumerate(self._kind_of)]
        found += [Region(part & (on_top == owner)) for owner, part in self._parts]
        return tuple(region for region in found if region.mask.sum() >= _MIN_AREA)

    def _background(self) -> tuple[Paint, list[Bool]]:
        """Paint the background: one surface, or several that meet along wavy lines.

        Some surfaces are photographs. They show objects without masks, so they are not regions.
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
        labelled = [owner == i for i in range(surfaces) if not of_photo[i]]
        return colours.astype(np.float32), labelled


def simulate_camera(rng: np.random.Generator, colours: Paint) -> Pixels:
    """Simulate uneven light, lens blur, exposure, sensor noise and JPEG compression."""
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


def cutouts(image: TrainingImage) -> list[Cutout]:
    """Cut every region of a known kind out of an image."""
    found = []
    for region in image.regions:
        if region.kind != UNKNOWN and region.mask.any():
            rows, columns = (np.flatnonzero(region.mask.any(axis=axis)) for axis in (1, 0))
            box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            found.append(Cutout(image.pixels[box].copy(), region.mask[box].copy(), region.kind))
    return found
