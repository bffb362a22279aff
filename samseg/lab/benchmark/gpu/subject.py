"""What is checked: the whole grid on photos and large models, or a few points where no GPU is."""

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
"""Points per side that are enough to choose the thresholds of random weights."""


@dataclass(frozen=True, eq=False)
class CheckSubject:
    """Device, pictures and models of one check.

    Attributes:
        device: what is compared with the CPU.
        photos: (h, w, 3) uint8 RGB each, of several aspect ratios.
        points_per_side: of every grid.
        archs: what is timed, the most telling first.
        exact_arch: whose tensors are compared.
        exact_prompts: how many prompts' tensors.
        repeats: images timed.
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
        """Choose for a GPU what fills it, for a CPU what is done in seconds."""
        if device.type == "cpu":
            return cls(device, (draw_scene(0, (72, 96)).pixels,), 2, ("tiny",), "tiny", 4, 1)
        photos = [np.array(Image.open(path).convert("RGB")) for path in shipped_photos()]
        photos += [draw_scene(seed).pixels for seed in range(_SCENES)]
        return cls(device, tuple(photos), 32, ("vit_h", "vit_b", "vit_l"), "vit_b", 64, 3)

    def segmenter(
        self, device: torch.device, precision: Precision = "float32", compiled: bool = False
    ) -> Segmenter:
        """Load the shipped model under its recommended settings."""
        settings = MaskSettings(points_per_side=self.points_per_side)
        spec = ModelSpec(precision=precision, compile=compiled)
        # `Segmenter.load` takes names of devices; "cuda" is the first GPU, as `resolve_device`
        return Segmenter.load(spec, settings, device=device.type)

    @cached_property
    def wanted(self) -> tuple[Rles, ...]:
        """The masks of each photo in float32 on the CPU, which equal the reference's."""
        segmenter = self.segmenter(torch.device("cpu"))
        return tuple(segmenter.segment(photo).masks.rles for photo in self.photos)

    def pairs(self, segmenter: Segmenter) -> Iterator[tuple[Rles, Rles]]:
        """Yield wanted masks and those that a segmenter finds, photo by photo."""
        for photo, wanted in zip(self.photos, self.wanted, strict=True):
            yield wanted, segmenter.segment(photo).masks.rles

    def random(self, arch: Architecture) -> tuple[Sam, MaskSettings]:
        """Make a model with random weights on the device, and its settings for the first photo."""
        with self.device:  # weights are drawn where they are needed: seconds for ViT-H
            model = copy.deepcopy(random_model(arch)).to(self.device)  # out of inference mode
        side = min(_CALIBRATION_POINTS, self.points_per_side)
        settings = random_settings(model, MaskSettings(points_per_side=side), self.photos[0])
        return model, settings.model_copy(update={"points_per_side": self.points_per_side})
