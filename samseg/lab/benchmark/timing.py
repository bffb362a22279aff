"""Two sides timed on the same photos, turn by turn, so that whatever else happens meets both.

Wall time is what people wait for; CPU time is what a machine that others use too tells more
truly. On a GPU only wall time means anything.
"""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeVar

import torch

from samseg.spec import Spec

T = TypeVar("T")


class Seconds(Spec):
    """What one call took.

    Attributes:
        wall: seconds.
        cpu: CPU seconds of this process, all threads.
    """

    wall: float
    cpu: float


def timed(work: Callable[[], T]) -> tuple[T, Seconds]:
    """Call `work`, and wait for the GPU to have done it."""
    _finish()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    _finish()
    return result, Seconds(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Ratio(Spec):
    """How many times as fast samseg is.

    Attributes:
        ratio: the reference's seconds over samseg's, each the sum over photos of the median of
            the repeats.
        low: smallest ratio of the sums over photos of any one repeat.
        high: largest one.
        reference_s: sum over photos of the reference's medians.
        samseg_s: the same of samseg.
    """

    ratio: float
    low: float
    high: float
    reference_s: float
    samseg_s: float

    @classmethod
    def of(cls, reference: Sequence[Sequence[float]], samseg: Sequence[Sequence[float]]) -> "Ratio":
        """Compare (photos, repeats) seconds of both sides."""
        theirs, ours = sum(map(median, reference)), sum(map(median, samseg))
        per_repeat = [
            sum(r) / sum(s)
            for r, s in zip(zip(*reference, strict=True), zip(*samseg, strict=True), strict=True)
        ]
        return cls(
            ratio=theirs / ours,
            low=min(per_repeat),
            high=max(per_repeat),
            reference_s=theirs,
            samseg_s=ours,
        )


class Speed(Spec):
    """Both sides' times, and what follows from them.

    Attributes:
        reference: per photo, per repeat.
        samseg: the same.
        wall: by wall time.
        cpu: by CPU time.
    """

    reference: tuple[tuple[Seconds, ...], ...]
    samseg: tuple[tuple[Seconds, ...], ...]
    wall: Ratio
    cpu: Ratio

    @classmethod
    def of(
        cls, reference: Sequence[Sequence[Seconds]], samseg: Sequence[Sequence[Seconds]]
    ) -> "Speed":
        """Keep (photos, repeats) times of both sides, and compare them."""
        return cls(
            reference=tuple(map(tuple, reference)),
            samseg=tuple(map(tuple, samseg)),
            wall=Ratio.of(*([[t.wall for t in p] for p in side] for side in (reference, samseg))),
            cpu=Ratio.of(*([[t.cpu for t in p] for p in side] for side in (reference, samseg))),
        )
