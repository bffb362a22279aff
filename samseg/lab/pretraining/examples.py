"""Training examples: a window of the model's input, clicks in it, and their valid target masks.

The model's input is a square of 1024 px, which SAM's encoder divides into patches of 16 px. A
window is a smaller square at a random position in it: objects keep their size at 1024 px, the
positional encoding is that of the window's position, and a step costs a fraction of a whole input.
The tiny encoder halves its input first, so images are drawn at half of this resolution.
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

from samseg.lab.pretraining.training_image import UNKNOWN, Region, TrainingImage
from samseg.types import Bool, Float32, Int64

INPUT = 1024
PATCH = 16
CHANNELS = 256
MAX_TARGETS = 3
"""Most valid targets of one click: a part, an object, a whole."""

_AREA_POWER = 0.3
"""Regions are clicked with a probability proportional to this power of their area.

Tiny regions are numerous and hardly learnable."""

_MIXED_SHARE = 0.4
"""A patch belongs to a region that covers all but this share of it."""


class ImageSource(Protocol):
    """A source of training images."""

    def draw(self, rng: np.random.Generator, side: int) -> TrainingImage:
        """Draw an image of side x side px; the same `rng` state gives the same image."""
        ...


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of examples.

    Attributes:
        window: side in px of the model's input, a multiple of 64.
        clicks: prompts per image.
        uses: examples made from one image, each with its own flips and clicks.
        with_teacher: whether examples have the entries `features` and `has_teacher`.
    """

    window: int
    clicks: int
    uses: int
    with_teacher: bool = False


class Examples(Dataset[dict[str, Tensor]]):
    """A deterministic dataset: example i depends on the seed and i alone, so a run can resume.

    An example is a dict of tensors, with s the window's side and p clicks:
        image: (3, s / 2, s / 2) uint8.
        corner: (2,) int64, xy of the window in the input, px, multiples of `PATCH`.
        points: (p, 2) float32, xy, px of the input.
        boxes: (p, 4) float32, xyxy, px of the input, around the target `intent`.
        targets: (p, MAX_TARGETS, s / 4, s / 4) uint8, share of the px inside times 255, by area.
        valid: (p, MAX_TARGETS) bool, which targets exist; those that do come first.
        kinds: (p, MAX_TARGETS) int64.
        intent: (p,) int64, index of the target that the box and the corrections refer to.
        patches: (s / 16, s / 16) int64, label of each patch: the kind of the smallest region
            there, a unique number below `UNKNOWN` where that kind is not known, or `UNKNOWN`
            where regions meet.
        features: (256, s / 16, s / 16) float16, the teacher's features, zeros without; and
        has_teacher: () bool, whether there are any; both only where `Shape.with_teacher`.
    """

    def __init__(
        self, sources: Sequence[ImageSource], shares: Sequence[float], shape: Shape, length: int,
        seed: int,
    ):  # fmt: skip
        """Draw images from `sources` in proportion to their `shares`."""
        self._sources, self._shape, self._length, self._seed = sources, shape, length, seed
        self._shares = np.cumsum(shares) / np.sum(shares)
        self._last: tuple[int, TrainingImage] | None = None

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Make example `index`."""
        if not 0 <= index < self._length:
            raise IndexError(index)
        image = self._image(index // self._shape.uses)
        return example(image, np.random.default_rng([self._seed, 1, index]), self._shape)

    def _image(self, number: int) -> TrainingImage:
        if self._last is None or self._last[0] != number:
            for attempt in range(100):
                rng = np.random.default_rng([self._seed, 0, number, attempt])
                source = self._sources[int(np.searchsorted(self._shares, rng.random()))]
                image = source.draw(rng, self._shape.window // 2)
                if image.regions:
                    self._last = (number, image)
                    return image
            raise RuntimeError("100 images in a row had no region")
        return self._last[1]


def example(image: TrainingImage, rng: np.random.Generator, shape: Shape) -> dict[str, Tensor]:
    """Flip an image at random and draw clicks on it; see `Examples`."""
    image = _flipped(image, rng)
    corner = rng.integers(0, (INPUT - shape.window) // PATCH + 1, 2) * PATCH
    clicks = [_click(image, rng) for _ in range(shape.clicks)]
    points = np.array([point for point, _, _ in clicks], dtype=np.float32)
    side = shape.window // 4
    targets = np.zeros((shape.clicks, MAX_TARGETS, side, side), dtype=np.uint8)
    valid = np.zeros((shape.clicks, MAX_TARGETS), dtype=np.bool_)
    kinds = np.full((shape.clicks, MAX_TARGETS), UNKNOWN, dtype=np.int64)
    boxes = np.zeros((shape.clicks, 4), dtype=np.float32)
    for i, (_, regions, intent) in enumerate(clicks):
        boxes[i] = _box(regions[intent].mask, rng)
        for j, region in enumerate(regions):
            full = region.mask.astype(np.uint8) * 255
            targets[i, j] = cv2.resize(full, (side, side), interpolation=cv2.INTER_AREA)
            valid[i, j], kinds[i, j] = True, region.kind
    tensors = {
        "image": torch.from_numpy(np.ascontiguousarray(image.pixels.transpose(2, 0, 1))),
        "corner": torch.from_numpy(corner),
        "points": torch.from_numpy(2 * points + 1 + corner.astype(np.float32)),
        "boxes": torch.from_numpy(2 * boxes + np.tile(corner, 2).astype(np.float32)),
        "targets": torch.from_numpy(targets),
        "valid": torch.from_numpy(valid),
        "kinds": torch.from_numpy(kinds),
        "intent": torch.tensor([intent for _, _, intent in clicks]),
        "patches": torch.from_numpy(_patches(image, rng)),
    }
    if shape.with_teacher:
        grid = shape.window // PATCH
        zeros = np.zeros((CHANNELS, grid, grid), dtype=np.float16)
        features = zeros if image.features is None else np.ascontiguousarray(image.features)
        tensors["features"] = torch.from_numpy(features)
        tensors["has_teacher"] = torch.tensor(image.features is not None)
    return tensors


def _flipped(image: TrainingImage, rng: np.random.Generator) -> TrainingImage:
    """Transpose and flip along each axis, each with probability 0.5.

    Images with a teacher's features stay as they are: the features are not equivariant.
    """
    if image.features is not None:
        return image
    transpose, flip, mirror = rng.random(3) < 0.5

    def flipped(array: NDArray[Any]) -> NDArray[Any]:
        array = array.swapaxes(0, 1) if transpose else array
        return array[:: -1 if flip else 1, :: -1 if mirror else 1]

    regions = tuple(Region(flipped(region.mask), region.kind) for region in image.regions)
    return TrainingImage(flipped(image.pixels), regions)


def _patches(image: TrainingImage, rng: np.random.Generator) -> Int64:
    """Return (h / 8, w / 8) int64 labels of the patches of an image; see `Examples`."""
    h, w = (n // (PATCH // 2) for n in image.pixels.shape[:2])
    shown = np.full((h, w), UNKNOWN, dtype=np.int64)
    unique = UNKNOWN - 1 - int(rng.integers(2**48))
    by_area = sorted(image.regions, key=lambda region: -int(region.mask.sum()))
    for i, region in enumerate(by_area):
        share = cv2.resize(region.mask.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
        shown[share > _MIXED_SHARE] = UNKNOWN
        shown[share > 1 - _MIXED_SHARE] = unique - i if region.kind == UNKNOWN else region.kind
    return shown


def _click(
    image: TrainingImage, rng: np.random.Generator
) -> tuple[tuple[int, int], list[Region], int]:
    """Draw a click inside a region.

    Returns:
        (x, y) of the click, the regions there from small to large, and the index of the region
        that was clicked.
    """
    areas = np.array([region.mask.sum() for region in image.regions])
    probability = areas**_AREA_POWER / (areas**_AREA_POWER).sum()
    chosen = image.regions[rng.choice(len(areas), p=probability)]
    x, y = _px_inside(chosen.mask, rng)
    regions = [region for region in image.regions if region.mask[y, x]]
    regions = sorted(regions, key=lambda region: int(region.mask.sum()))
    first = min(max(0, regions.index(chosen) - 1), max(0, len(regions) - MAX_TARGETS))
    regions = regions[first : first + MAX_TARGETS]
    return (x, y), regions, regions.index(chosen)


def _px_inside(mask: Bool, rng: np.random.Generator) -> tuple[int, int]:
    """Return (x, y) of a random px of a mask: half of the time any, else one far from its edge."""
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
    """Return (4,) xyxy px of a mask's box, each side jittered by up to a tenth of its length."""
    y, x = np.nonzero(mask)
    box = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], dtype=np.float32)
    spread = 0.05 * np.tile([box[2] - box[0], box[3] - box[1]], 2)
    moved = box + np.clip(rng.normal(0, 1, 4), -2, 2) * spread
    return np.clip(moved, 0, [mask.shape[1], mask.shape[0]] * 2)
