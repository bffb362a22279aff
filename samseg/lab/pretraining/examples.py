"""Training examples: a window of the model's input, clicks in it, and the masks they may mean.

The model's input is a square of 1024 px that SAM's encoder looks at in patches of 16. A window is
a smaller square of it, somewhere: things have the size they have at 1024 px, the positional
encoding is that of the window's place, and a step costs a fraction of a whole input. The tiny
encoder halves its input first, so pictures are drawn at half of these px.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from samseg.lab.pretraining.picture import UNKNOWN, Region, TrainingPicture
from samseg.types import Bool, Float32, Int64

INPUT = 1024
PATCH = 16
CHANNELS = 256
MEANT = 3
"""Most masks that one click may mean: a part, a thing, a whole."""

_BY_AREA = 0.3
"""Chance of a click grows with this power of a region's area: specks are many, and hopeless."""

_MIXED = 0.4
"""A patch shows a region where that covers all but this share of it."""


class PictureSource(Protocol):
    """Where pictures come from."""

    def draw(self, rng: np.random.Generator, side: int) -> TrainingPicture:
        """Draw a picture of side x side px; the same chance gives the same picture."""
        ...


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of examples.

    Attributes:
        window: side in px of the model's input, a multiple of 64.
        clicks: prompts per picture.
        uses: how often a picture is used, turned and clicked anew each time.
        taught: some pictures come with a teacher's features.
    """

    window: int
    clicks: int
    uses: int
    taught: bool = False


class Examples(Dataset[dict[str, Tensor]]):
    """Example i is always the same one: a run that is resumed goes on where it was.

    An example is a dict of tensors, with s the window's side and p clicks:
        image: (3, s / 2, s / 2) uint8.
        corner: (2,) int64, xy of the window in the input, px, multiples of `PATCH`.
        points: (p, 2) float32, xy, px of the input.
        boxes: (p, 4) float32, xyxy, px of the input, around the meant mask `intent`.
        targets: (p, MEANT, s / 4, s / 4) uint8, share of the px inside times 255.
        meant: (p, MEANT) bool, which of the targets there are; from small to large.
        kinds: (p, MEANT) int64.
        intent: (p,) int64, the target that boxes and corrections go for.
        patches: (s / 16, s / 16) int64, what each patch shows: the kind of the smallest region
            there, a number of its own below `UNKNOWN` where nobody knows the kind, or `UNKNOWN`
            where regions meet.
        features: (256, s / 16, s / 16) float16, what a teacher sees, and
        taught: () bool, whether one has looked at this picture; both only where `Shape.taught`.
    """

    def __init__(
        self, sources: Sequence[PictureSource], shares: Sequence[float], shape: Shape, length: int,
        seed: int,
    ):  # fmt: skip
        """Draw from `sources`, as often as their `shares` say."""
        self._sources, self._shape, self._length, self._seed = sources, shape, length, seed
        self._shares = np.cumsum(shares) / np.sum(shares)
        self._last: tuple[int, TrainingPicture] | None = None

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Make example `index`."""
        if not 0 <= index < self._length:
            raise IndexError(index)
        picture = self._picture(index // self._shape.uses)
        return example(picture, np.random.default_rng([self._seed, 1, index]), self._shape)

    def _picture(self, number: int) -> TrainingPicture:
        if self._last is None or self._last[0] != number:
            for attempt in range(100):
                rng = np.random.default_rng([self._seed, 0, number, attempt])
                source = self._sources[int(np.searchsorted(self._shares, rng.random()))]
                picture = source.draw(rng, self._shape.window // 2)
                if picture.regions:
                    self._last = (number, picture)
                    return picture
            raise RuntimeError("a hundred pictures in a row had no region")
        return self._last[1]


def example(picture: TrainingPicture, rng: np.random.Generator, shape: Shape) -> dict[str, Tensor]:
    """Turn a picture about and click on it; see `Examples`."""
    picture = _turned(picture, rng)
    corner = rng.integers(0, (INPUT - shape.window) // PATCH + 1, 2) * PATCH
    clicks = [_click(picture, rng) for _ in range(shape.clicks)]
    points = np.array([point for point, _, _ in clicks], dtype=np.float32)
    side = shape.window // 4
    targets = np.zeros((shape.clicks, MEANT, side, side), dtype=np.uint8)
    meant = np.zeros((shape.clicks, MEANT), dtype=np.bool_)
    kinds = np.full((shape.clicks, MEANT), UNKNOWN, dtype=np.int64)
    boxes = np.zeros((shape.clicks, 4), dtype=np.float32)
    for i, (_, regions, intent) in enumerate(clicks):
        boxes[i] = _box(regions[intent].mask, rng)
        for j, region in enumerate(regions):
            full = region.mask.astype(np.uint8) * 255
            targets[i, j] = cv2.resize(full, (side, side), interpolation=cv2.INTER_AREA)
            meant[i, j], kinds[i, j] = True, region.kind
    tensors = {
        "image": torch.from_numpy(np.ascontiguousarray(picture.pixels.transpose(2, 0, 1))),
        "corner": torch.from_numpy(corner),
        "points": torch.from_numpy(2 * points + 1 + corner.astype(np.float32)),
        "boxes": torch.from_numpy(2 * boxes + np.tile(corner, 2).astype(np.float32)),
        "targets": torch.from_numpy(targets),
        "meant": torch.from_numpy(meant),
        "kinds": torch.from_numpy(kinds),
        "intent": torch.tensor([intent for _, _, intent in clicks]),
        "patches": torch.from_numpy(_patches(picture, rng)),
    }
    if shape.taught:
        grid = shape.window // PATCH
        nothing = np.zeros((CHANNELS, grid, grid), dtype=np.float16)
        seen = nothing if picture.features is None else np.ascontiguousarray(picture.features)
        tensors["features"] = torch.from_numpy(seen)
        tensors["taught"] = torch.tensor(picture.features is not None)
    return tensors


def _turned(picture: TrainingPicture, rng: np.random.Generator) -> TrainingPicture:
    """Mirror and transpose, each half of the time; teachers' features do not turn with pixels."""
    if picture.features is not None:
        return picture
    transpose, flip, mirror = rng.random(3) < 0.5

    def turned(array: NDArray[Any]) -> NDArray[Any]:
        array = array.swapaxes(0, 1) if transpose else array
        return array[:: -1 if flip else 1, :: -1 if mirror else 1]

    regions = tuple(Region(turned(region.mask), region.kind) for region in picture.regions)
    return TrainingPicture(turned(picture.pixels), regions)


def _patches(picture: TrainingPicture, rng: np.random.Generator) -> Int64:
    """Return (h / 8, w / 8) int64, what the patches of a picture show; see `Examples`."""
    h, w = (n // (PATCH // 2) for n in picture.pixels.shape[:2])
    shown = np.full((h, w), UNKNOWN, dtype=np.int64)
    unlike_all = UNKNOWN - 1 - int(rng.integers(2**48))
    by_area = sorted(picture.regions, key=lambda region: -int(region.mask.sum()))
    for i, region in enumerate(by_area):
        share = cv2.resize(region.mask.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
        shown[share > _MIXED] = UNKNOWN
        shown[share > 1 - _MIXED] = unlike_all - i if region.kind == UNKNOWN else region.kind
    return shown


def _click(
    picture: TrainingPicture, rng: np.random.Generator
) -> tuple[tuple[int, int], list[Region], int]:
    """Click into a region.

    Returns:
        (x, y) of the click, the regions there from small to large, and which one was meant.
    """
    areas = np.array([region.mask.sum() for region in picture.regions])
    likely = areas**_BY_AREA / (areas**_BY_AREA).sum()
    chosen = picture.regions[rng.choice(len(areas), p=likely)]
    x, y = _inside(chosen.mask, rng)
    regions = [region for region in picture.regions if region.mask[y, x]]
    regions = sorted(regions, key=lambda region: int(region.mask.sum()))
    first = min(max(0, regions.index(chosen) - 1), max(0, len(regions) - MEANT))
    regions = regions[first : first + MEANT]
    return (x, y), regions, regions.index(chosen)


def _inside(mask: Bool, rng: np.random.Generator) -> tuple[int, int]:
    """Return (x, y) of a px inside: half of the time anywhere, else deep inside."""
    y, x = np.nonzero(mask)
    if rng.random() < 0.5:
        i = rng.integers(len(y))
        return int(x[i]), int(y[i])
    window = mask[y.min() : y.max() + 1, x.min() : x.max() + 1].astype(np.uint8)
    depth = cv2.distanceTransform(np.pad(window, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    deep_y, deep_x = np.nonzero(depth >= rng.uniform(0.5, 1.0) * depth.max())
    i = rng.integers(len(deep_y))
    return int(deep_x[i] + x.min()), int(deep_y[i] + y.min())


def _box(mask: Bool, rng: np.random.Generator) -> Float32:
    """Return (4,) xyxy px around a mask, its corners moved by up to a tenth of its sides."""
    y, x = np.nonzero(mask)
    box = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], dtype=np.float32)
    spread = 0.05 * np.tile([box[2] - box[0], box[3] - box[1]], 2)
    moved = box + np.clip(rng.normal(0, 1, 4), -2, 2) * spread
    return np.clip(moved, 0, [mask.shape[1], mask.shape[0]] * 2)
