"""Random choices of photos: bootstrap resamples, and parts of a set."""

from collections.abc import Callable, Iterator

import numpy as np

from samseg.lab.evaluation.classes.record import ClassProtocol, Interval
from samseg.types import Bool, Int64


def interval(
    photos: int, statistic: Callable[[Int64], float], protocol: ClassProtocol
) -> Interval | None:
    """Return value ± 1.96 bootstrap standard errors of a statistic; None without resamples.

    Percentiles would lie too high: masks that are drawn twice agree with themselves, and categories
    that are not drawn cannot be confused. (Efron, Tibshirani, "An Introduction to the Bootstrap",
    1993, chapter 13.)

    Args:
        photos: number of photos.
        statistic: of photos, (m,) int64 numbers, drawn with replacement; it never exceeds 1.
        protocol: number of resamples, and the seed.
    """
    if not protocol.resamples:
        return None
    rng = np.random.default_rng(protocol.seed)
    found = [statistic(rng.integers(0, photos, photos)) for _ in range(protocol.resamples)]
    value, error = statistic(np.arange(photos)), 1.96 * float(np.std(found))
    return Interval(low=value - error, high=min(value + error, 1.0))


def parts(photos: int, protocol: ClassProtocol) -> Iterator[Bool]:
    """Yield the photos of each draw, (photos,) bool; at least one is drawn and one is not."""
    rng = np.random.default_rng(protocol.seed)
    count = min(max(round(protocol.share * photos), 1), photos - 1)
    for _ in range(protocol.draws):
        chosen = np.zeros(photos, np.bool_)
        chosen[rng.permutation(photos)[:count]] = True
        yield chosen
