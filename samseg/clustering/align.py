"""Gives the classes of a refit the ids of the classes they continue.

Ids are append-only: a class that no new one continues is retired, and its id never comes back.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.types import NOISE, Int32, Int64

SAME = 0.5
"""Jaccard overlap of members from which on a class is the same class."""


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Ids for k new classes.

    Attributes:
        class_ids: (k,) int32.
        born: (k,) bool, True where the id is new.
        parents: for each new class, the earlier classes that went into it: those of which it has
            at least half the members, or which make up at least half of its own; its own id is
            not named.
    """

    class_ids: Int32
    born: NDArray[np.bool_]
    parents: tuple[tuple[int, ...], ...]


def align(labels: Int64, before: NDArray[np.integer], order: Int64, next_id: int) -> Alignment:
    """Match new classes to earlier ones by the members they share.

    Pairs are matched one to one for the largest total Jaccard overlap (Kuhn, 1955); a pair below
    `SAME` is no match. New ids go to the rest in the given order.

    Args:
        labels: (n,) int64, the new class of each mask, 0 to k - 1, or -1.
        before: (n,) the earlier class id of each mask, or -1.
        order: (k,) int64, the new classes in the order in which new ids are given out.
        next_id: the first id never used.
    """
    count = int(labels.max(initial=NOISE)) + 1
    earlier, position = np.unique(before[before != NOISE], return_inverse=True)
    shared = np.zeros((count, len(earlier)), np.int64)
    known = np.full(len(before), NOISE, np.int64)
    known[before != NOISE] = position
    both = (labels != NOISE) & (known != NOISE)
    np.add.at(shared, (labels[both], known[both]), 1)
    new_size = np.bincount(labels[labels != NOISE], minlength=count)[:, None]
    old_size = np.bincount(position, minlength=len(earlier))[None, :]
    ids = np.full(count, NOISE, np.int32)
    for new, old in _matches(shared / np.maximum(new_size + old_size - shared, 1)):
        ids[new] = earlier[old]
    born = ids == NOISE
    fresh = [c for c in order if born[c]]
    ids[fresh] = np.arange(next_id, next_id + len(fresh))
    part = (shared > 0) & ((shared * 2 >= old_size) | (shared * 2 >= new_size))
    parents = tuple(
        tuple(int(earlier[o]) for o in np.flatnonzero(part[c]) if earlier[o] != ids[c])
        for c in range(count)
    )
    return Alignment(ids, born, parents)


def _matches(overlap: NDArray[np.float64]) -> list[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(overlap, maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if overlap[r, c] >= SAME]
