"""The subject of a check: full grids and large models on a GPU, a few points on a CPU."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from segment_anything.modeling import Sam

from samseg.demo.lake import shipped_photos
from samseg.demo.scenes import draw_scene
from samseg.lab.benchmark.random_weights import random_model, random_settings
from samseg.lab.benchmark.tasks import Rles
from samseg.sam.segmenter import Segmenter
from samseg.sam.settings import Architecture, MaskSettings, ModelSpec, Precision
from samseg.types import Pixels

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")

_SCENES = 2
_CALIBRATION_POINTS = 12
"""Most points per side for choosing the thresholds of random weights."""


@dataclass(frozen=True, eq=False)
class CheckSubject:
    """Device, photos and models of one check.

    Attributes:
        device: the device that is compared with the CPU.
        photos: (h, w, 3) uint8 RGB each, of several aspect ratios.
        points_per_side: of every grid.
        archs: architectures that are timed, the most important first.
        exact_arch: architecture whose tensors are compared.
        exact_prompts: number of prompts whose tensors are compared.
        repeats: timed runs per model.
    """

    device: torch.device
    photos: tuple[Pixels, ...]
    points_per_side: int
    archs: tuple[Architecture, ...]
    exact_arch: Architecture
    exact_prompts: int
    repeats: int

    @classmethod
    def of(cls, device: torch.device) -> "CheckSubject":
        """Return a subject that loads a GPU fully, or one that a CPU finishes in seconds."""
        if device.type == "cpu":
            return cls(device, (draw_scene(0, (72, 96)).pixels,), 2, ("tiny",), "tiny", 4, 1)
        photos = [np.array(Image.open(path).convert("RGB")) for path in shipped_photos()]
        photos += [draw_scene(seed).pixels for seed in range(_SCENES)]
        return cls(device, tuple(photos), 32, ("vit_h", "vit_b", "vit_l"), "vit_b", 64, 3)

    def segmenter(
        self, device: torch.device, precision: Precision = "float32", compiled: bool = False
    ) -> Segmenter:
        """Load the shipped model with its recommended settings."""
        settings = MaskSettings(points_per_side=self.points_per_side)
        spec = ModelSpec(precision=precision, compile=compiled)
        # `Segmenter.load` takes names of devices; "cuda" is the first GPU, as `resolve_device`
        return Segmenter.load(spec, settings, device=device.type)

    @cached_property
    def wanted(self) -> tuple[Rles, ...]:
        """The masks of each photo on the CPU in float32, which equal the reference's."""
        segmenter = self.segmenter(torch.device("cpu"))
        return tuple(segmenter.segment(photo).masks.rles for photo in self.photos)

    def pairs(self, segmenter: Segmenter) -> Iterator[tuple[Rles, Rles]]:
        """Yield the CPU's masks and those of a segmenter, photo by photo."""
        for photo, wanted in zip(self.photos, self.wanted, strict=True):
            yield wanted, segmenter.segment(photo).masks.rles

    def random(self, arch: Architecture) -> tuple[Sam, MaskSettings]:
        """Make a model with random weights on the device, with thresholds for the first photo."""
        with self.device:  # draw weights on the device: on a CPU it is slow for ViT-H
            model = copy.deepcopy(random_model(arch)).to(self.device)  # out of inference mode
        side = min(_CALIBRATION_POINTS, self.points_per_side)
        settings = random_settings(model, MaskSettings(points_per_side=side), self.photos[0])
        return model, settings.model_copy(update={"points_per_side": self.points_per_side})
