"""Which masks of a class a page shows, and in which order."""

import numpy as np

from samseg.review.classes_now import ClassesNow
from samseg.review.tree_steps import TreeSteps
from samseg.types import Int64

ORDERS = {
    "typical": "most typical first",
    "unsure": "least sure first",
    "photo": "photo by photo",
}
_AMONG = 20_000
"""Masks of a class that its examples are chosen among: the first ones, whose ids are hashes."""


def ordered(now: ClassesNow, class_id: int, order: str) -> Int64:
    """Return the rows of the masks of a class, in one of the `ORDERS`."""
    rows = now.rows_of(class_id)
    if order == "photo":
        return rows
    key = now.sureness(rows) if order == "unsure" else now.catalogue.distance[rows]
    return rows[np.argsort(key, kind="stable")]  # NaN, an unknown distance, comes last


def examples(now: ClassesNow, class_id: int, count: int, among: Int64 | None = None) -> list[int]:
    """Choose masks that show what a class is and how it varies, of different photos if possible.

    Args:
        now: the classes.
        class_id: the class.
        count: how many, at most.
        among: rows to choose among; all of the class for None.

    Returns:
        Rows, from the most typical to the least.
    """
    rows = (now.rows_of(class_id) if among is None else among)[:_AMONG]
    rows = rows[np.argsort(now.catalogue.distance[rows], kind="stable")]
    if len(rows) <= count:
        return [int(row) for row in rows]
    at = np.unique(np.linspace(0, len(rows) - 1, 4 * count).round().astype(np.int64))
    candidates = rows[at].tolist()
    images = [mask.rpartition("-")[0] for mask in now.catalogue.mask_ids(candidates)]
    of_photo = {image: row for image, row in zip(images[::-1], candidates[::-1], strict=True)}
    distinct = [row for row in candidates if row in of_photo.values()]
    if len(distinct) < count:
        more = [row for row in candidates if row not in distinct]
        chosen = {*distinct, *more[: count - len(distinct)]}
        return [row for row in candidates if row in chosen]
    even = np.linspace(0, len(distinct) - 1, count).round().astype(np.int64)
    return [distinct[n] for n in even]


def branches(now: ClassesNow, steps: TreeSteps, class_id: int) -> list[Int64]:
    """Return the rows of the two sides that a split would make, the larger one first.

    Args:
        now: the classes.
        steps: along the tree.
        class_id: a class, `NOISE` or `IGNORED`.

    Returns:
        Nothing, if the class cannot be divided.
    """
    sides, cells = steps.finer(now.found, class_id), now.catalogue.cells
    if sides is None or cells is None or class_id < 0:
        return []
    rows = now.rows_of(class_id)
    parts = [rows[np.isin(cells[rows], side)] for side in sides]
    return sorted(parts, key=len, reverse=True) if all(map(len, parts)) else []


def queue(now: ClassesNow, skipped: frozenset[int], count: int, only: int | None) -> list[int]:
    """Return masks that a person should look at next: of one class, least sure first.

    Args:
        now: the classes.
        skipped: rows that are left out.
        count: how many, at most.
        only: a class; None for that of the least sure mask of all.
    """
    left = (now.class_ids >= 0) & ~now.catalogue.clear & ~now.decided
    ignored = [c for c in now.found.ignored if c != only]
    left &= ~np.isin(now.class_ids, ignored) if ignored else True
    left[list(skipped)] = False
    if only is not None:
        left &= now.class_ids == only
    rows = np.flatnonzero(left)
    if not len(rows):
        return []
    sureness = now.catalogue.ratio[rows]
    first = rows[int(sureness.argmin())]
    same = rows[now.class_ids[rows] == now.class_ids[first]]
    order = np.argsort(now.catalogue.ratio[same], kind="stable")
    return [int(row) for row in same[order][:count]]
