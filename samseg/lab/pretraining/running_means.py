"""Running means of the figures of a training run: losses and IoU by name."""

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

_LENGTH = 50
_SHOWN = (
    "mask",
    "iou",
    "kind",
    "patches",
    "likeness",
    "features",
    "best",
    "chosen",
    "corrected",
)
"""Figures in a line of progress, in order."""


class RunningMeans:
    """Means over the last 50 steps. They stay on the device until they are read."""

    def __init__(self) -> None:
        """Start without steps."""
        self._steps: deque[dict[str, Tensor]] = deque(maxlen=_LENGTH)

    def append(self, figures: dict[str, Tensor]) -> None:
        """Add the figures of a step, scalars by name; a step need not have all of them."""
        self._steps.append(figures)

    def rounded(self) -> dict[str, float]:
        """Return the means by name, to four digits after the point."""
        means = mean_of(self._steps)
        return {name: round(value.item(), 4) for name, value in sorted(means.items())}

    def __str__(self) -> str:
        """Return a line for the progress of a run."""
        means = mean_of(self._steps)
        return " ".join(f"{name} {means[name]:.3f}" for name in _SHOWN if name in means)


def mean_of(figures: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each figure over those that have it."""
    names = {name for each in figures for name in each}
    return {name: torch.stack([f[name] for f in figures if name in f]).mean() for name in names}
