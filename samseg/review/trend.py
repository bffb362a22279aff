"""A class over the nights: what each of them measured when it ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samseg.drift import ClassDrift, Drift

WIDTH, HEIGHT = 240, 40
"""Of the drawing, px."""


@dataclass(frozen=True, slots=True)
class TrendNight:
    """A class in one night.

    Attributes:
        stamp: name of the night.
        masks: new masks of the class.
        share: of the night's new masks; None if there were none, or nothing was measured.
        distance: mean cosine distance of the new masks; None if unknown.
        drifted: whether the new masks lay farther off than those before.
    """

    stamp: str
    masks: int
    share: float | None
    distance: float | None
    drifted: bool


@dataclass(frozen=True, slots=True)
class Trend:
    """A class over the nights, the oldest first."""

    nights: Sequence[TrendNight]

    @property
    def points(self) -> str:
        """The shares as a line of `WIDTH` by `HEIGHT`, as SVG writes it; empty for few nights."""
        shares = [night.share for night in self.nights]
        known = [(i, share) for i, share in enumerate(shares) if share is not None]
        highest = max((share for _, share in known), default=0)
        if len(known) < 2 or not highest:
            return ""
        step = (WIDTH - 8) / (len(shares) - 1)
        return " ".join(
            f"{4 + i * step:.1f},{HEIGHT - 4 - share / highest * (HEIGHT - 8):.1f}"
            for i, share in known
        )


def trend(nights: Sequence[Drift], into: Mapping[int, int], class_id: int) -> Trend:
    """Add up, for each night, the classes that are one class now.

    Args:
        nights: what they measured, the oldest first.
        into: class -> the class that it was merged into.
        class_id: the class.
    """
    return Trend([_night(night, into, class_id) for night in nights])


def _night(night: Drift, into: Mapping[int, int], class_id: int) -> TrendNight:
    rows: list[ClassDrift] = [
        row for row in night.classes if into.get(row.class_id, row.class_id) == class_id
    ]
    shares = [row.share for row in rows if row.share is not None]
    with_distance = [row for row in rows if row.distance is not None]
    masks = sum(row.masks for row in with_distance)
    total = sum((row.distance or 0) * row.masks for row in with_distance)
    return TrendNight(
        stamp=night.stamp,
        masks=sum(row.masks for row in rows),
        share=sum(shares) if shares else None,
        distance=total / masks if masks else None,
        drifted=any(row.drifted for row in rows),
    )
