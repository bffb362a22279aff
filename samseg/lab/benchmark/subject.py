"""The subject of a benchmark: one model and its settings, loaded once for each side."""

from dataclasses import dataclass
from pathlib import Path

import torch
from segment_anything.modeling import Sam

from samseg.lab.benchmark.random_weights import random_model, random_settings
from samseg.sam.segmenter import Segmenter
from samseg.sam.settings import Architecture, MaskSettings, Precision
from samseg.sam.weights.load import architecture_of, read_model, resolve_device
from samseg.sam.weights.registry import resolve
from samseg.spec import Spec
from samseg.types import Pixels


class Subject(Spec):
    """A model, its settings and its device.

    Attributes:
        checkpoint: `tiny`, `vit_b`, `vit_l`, `vit_h`, a path or a URL.
        random: use random weights of this architecture instead; see `random_weights`.
        settings: mask settings; unset ones take the checkpoint's recommended values.
        precision: precision of samseg; the reference uses float32.
        compiled: whether samseg uses `torch.compile`; the reference does not.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads of both sides; None for PyTorch's default.
    """

    checkpoint: str = "tiny"
    random: Architecture | None = None
    settings: MaskSettings = MaskSettings()
    precision: Precision = "float32"
    compiled: bool = False
    device: str = "auto"
    threads: int | None = None

    def __str__(self) -> str:
        name = f"{self.random} with random weights" if self.random else self.checkpoint
        name = name if self.precision == "float32" else f"{name}, {self.precision}"
        return f"{name}, compiled" if self.compiled else name

    def load(self) -> tuple[Sam, MaskSettings]:
        """Set PyTorch's threads and load the model onto its device."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        device = resolve_device(self.device)
        if self.random:
            return random_model(self.random).to(device), self.settings
        found = resolve(self.checkpoint)
        return read_model(found.path).to(device), self.settings.resolved(found.recommended)


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """The reference and samseg, each with its own model, so that neither changes the other's.

    Attributes:
        model: the model of the reference.
        segmenter: samseg with its own model.
    """

    model: Sam
    segmenter: Segmenter

    @classmethod
    def of(cls, subject: Subject) -> "Sides":
        """Load both models."""
        model, _ = subject.load()
        return cls(model, segmenter_of(subject))

    @property
    def arch(self) -> Architecture:
        """The architecture of both models."""
        return architecture_of(self.model.state_dict(), Path())

    def on(self, subject: Subject, pixels: Pixels) -> "Sides":
        """Return the sides with the settings for one photo; only random weights change them."""
        if not subject.random:
            return self
        ours = self.segmenter
        settings = random_settings(ours.model, ours.settings, pixels)
        return Sides(self.model, _segmenter(ours.model, settings, subject))


def segmenter_of(subject: Subject) -> Segmenter:
    """Load samseg's side."""
    model, settings = subject.load()
    return _segmenter(model, settings, subject)


def _segmenter(model: Sam, settings: MaskSettings, subject: Subject) -> Segmenter:
    return Segmenter(model, settings, model.device, "", subject.precision, subject.compiled)


def photo(path: Path) -> Pixels:
    """Decode a photo with the default decode policy."""
    from samseg.readers.decode import DecodePolicy  # imports the object stores

    return DecodePolicy().decode(path.read_bytes()).pixels
