"""Run times of two sides measured alternately, so that background load affects both alike.

Wall time is what users wait for; CPU time is more reliable on a machine with other load. With a GPU
only wall time is meaningful.
"""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeVar

import torch

from samseg.spec import Spec

T = TypeVar("T")


class Seconds(Spec):
    """Duration of one call.

    Attributes:
        wall: wall seconds.
        cpu: CPU seconds of this process, all threads.
    """

    wall: float
    cpu: float


def timed(work: Callable[[], T]) -> tuple[T, Seconds]:
    """Call `work`, synchronising with the GPU before and after, and time it."""
    _synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    _synchronize()
    return result, Seconds(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Ratio(Spec):
    """Speedup of samseg over the reference.

    Attributes:
        ratio: the reference's seconds divided by samseg's, each the sum over photos of the median
            over repeats.
        low: smallest ratio of sums over photos within one repeat.
        high: largest such ratio.
        reference_s: sum over photos of the reference's medians.
        samseg_s: sum over photos of samseg's medians.
    """

    ratio: float
    low: float
    high: float
    reference_s: float
    samseg_s: float

    @classmethod
    def of(cls, reference: Sequence[Sequence[float]], samseg: Sequence[Sequence[float]]) -> "Ratio":
        """Compare the (photos, repeats) seconds of both sides."""
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
    """Run times of both sides, and the speedup.

    Attributes:
        reference: times per photo and repeat.
        samseg: times per photo and repeat.
        wall: speedup by wall time.
        cpu: speedup by CPU time.
    """

    reference: tuple[tuple[Seconds, ...], ...]
    samseg: tuple[tuple[Seconds, ...], ...]
    wall: Ratio
    cpu: Ratio

    @classmethod
    def of(
        cls, reference: Sequence[Sequence[Seconds]], samseg: Sequence[Sequence[Seconds]]
    ) -> "Speed":
        """Compare the (photos, repeats) times of both sides."""
        return cls(
            reference=tuple(map(tuple, reference)),
            samseg=tuple(map(tuple, samseg)),
            wall=Ratio.of(*([[t.wall for t in p] for p in side] for side in (reference, samseg))),
            cpu=Ratio.of(*([[t.cpu for t in p] for p in side] for side in (reference, samseg))),
        )
