"""Alignment of class ids: a refit's classes take the ids of the earlier classes they match.

Ids are append-only: an earlier class without a match is retired, and its id is never reused.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.types import NOISE, Int32, Int64

MIN_OVERLAP = 0.5
"""Lowest Jaccard overlap of members at which two classes match."""


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Ids of k new classes.

    Attributes:
        class_ids: (k,) int32.
        born: (k,) bool, True where the id is new.
        parents: for each new class, the other earlier classes it derives from: it holds at least
            half of their members, or they make up at least half of it.
    """

    class_ids: Int32
    born: NDArray[np.bool_]
    parents: tuple[tuple[int, ...], ...]


def align(labels: Int64, earlier_ids: NDArray[np.integer], order: Int64, next_id: int) -> Alignment:
    """Match new classes to earlier ones by shared members.

    The one-to-one matching maximises the total Jaccard overlap (Kuhn, 1955); pairs below
    `MIN_OVERLAP` are discarded. Unmatched classes get new ids in the given order.

    Args:
        labels: (n,) int64, the new class of each mask, 0 to k - 1, or -1.
        earlier_ids: (n,) the earlier class id of each mask, or -1.
        order: (k,) int64, the new classes in the order in which new ids are issued.
        next_id: the lowest id never used.
    """
    count = int(labels.max(initial=NOISE)) + 1
    had_class = earlier_ids != NOISE
    earlier, position = np.unique(earlier_ids[had_class], return_inverse=True)
    shared = np.zeros((count, len(earlier)), np.int64)
    column = np.full(len(earlier_ids), NOISE, np.int64)
    column[had_class] = position
    both = (labels != NOISE) & (column != NOISE)
    np.add.at(shared, (labels[both], column[both]), 1)
    new_size = np.bincount(labels[labels != NOISE], minlength=count)[:, None]
    old_size = np.bincount(position, minlength=len(earlier))[None, :]
    ids = np.full(count, NOISE, np.int32)
    for new, old in _matches(shared / np.maximum(new_size + old_size - shared, 1)):
        ids[new] = earlier[old]
    born = ids == NOISE
    unmatched = [c for c in order if born[c]]
    ids[unmatched] = np.arange(next_id, next_id + len(unmatched))
    is_parent = (shared > 0) & ((shared * 2 >= old_size) | (shared * 2 >= new_size))
    parents = tuple(
        tuple(int(earlier[o]) for o in np.flatnonzero(is_parent[c]) if earlier[o] != ids[c])
        for c in range(count)
    )
    return Alignment(ids, born, parents)


def _matches(overlap: NDArray[np.float64]) -> list[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(overlap, maximize=True)
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if overlap[row, column] >= MIN_OVERLAP
    ]
