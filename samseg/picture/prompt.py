"""The prompt of `samseg segment`, parsed from text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samseg.errors import ConfigError
from samseg.types import Float32


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """One prompt: any of a box, points and a mask; at least one of them.

    Attributes:
        box: (4,) float32 xyxy, px of the photo, or None.
        points: (k, 2) float32 xy, px of the photo, or None.
        labels: (k,) float32, 1 inside, 0 outside, or None.
        mask: file of a mask prompt, or None.
    """

    box: Float32 | None
    points: Float32 | None
    labels: Float32 | None
    mask: Path | None

    @classmethod
    def parse(
        cls,
        box: str | None,
        points: Sequence[str],
        labels: Sequence[int],
        mask: Path | None,
    ) -> "Prompt | None":
        """Read the options of the command; None if they give no prompt.

        Args:
            box: `x,y,x,y`.
            points: `x,y` each.
            labels: one per point, or none at all if every point is inside.
            mask: see `samseg.picture.mask_prompt`.

        Raises:
            ConfigError: an option is malformed, or labels and points do not match.
        """
        if labels and len(labels) != len(points):
            raise ConfigError(
                f"got {len(labels)} --label for {len(points)} --point; give one label per point, "
                "1 inside or 0 outside, or none if all are inside"
            )
        corners = None if box is None else _numbers("--box", box, "x,y,x,y")
        if corners is not None and not (corners[0] < corners[2] and corners[1] < corners[3]):
            raise ConfigError(
                f"--box {box} is empty; wanted left,top,right,bottom in px, the second corner "
                "right of and below the first"
            )
        if corners is None and not points and mask is None:
            return None
        if not points:
            return cls(corners, None, None, mask)
        xy = np.stack([_numbers("--point", point, "x,y") for point in points])
        inside = np.asarray(labels or [1] * len(points), np.float32)
        return cls(corners, xy, inside, mask)

    @property
    def ambiguous(self) -> bool:
        """Whether this is a single point, for which SAM predicts three masks."""
        alone = self.box is None and self.mask is None
        return alone and self.points is not None and len(self.points) == 1

    def check(self, size: tuple[int, int]) -> None:
        """Check that points lie in a photo of (h, w) px and that the box overlaps it.

        Raises:
            ConfigError: they do not.
        """
        h, w = size
        for x, y in () if self.points is None else self.points.tolist():
            if not (0 <= x <= w and 0 <= y <= h):
                raise ConfigError(
                    f"--point {x:g},{y:g} is outside the photo, which is {w} px wide and {h} px "
                    "high; x comes first, and the photo is upright"
                )
        if self.box is not None:
            x0, y0, x1, y1 = self.box.tolist()
            if x1 <= 0 or y1 <= 0 or x0 >= w or y0 >= h:
                raise ConfigError(
                    f"--box {x0:g},{y0:g},{x1:g},{y1:g} is outside the photo, which is {w} px wide "
                    f"and {h} px high; wanted left,top,right,bottom"
                )


def _numbers(option: str, text: str, form: str) -> Float32:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != form.count(",") + 1 or not all(map(math.isfinite, numbers)):
        raise ConfigError(f"{option} is {text!r}, wanted {form} in px, without spaces")
    return np.asarray(numbers, np.float32)
