"""Trace masks as polygons along the edges of their pixels.

A polygon is one closed ring. Most formats have no holes, so each hole is joined to the ring around
it by a bridge of zero width: the ring runs along the bridge to the hole, around it, and back. The
fill rules in use, even-odd and non-zero, both leave the hole empty.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from samseg.types import Bool, Int32, Int64

_Point = tuple[int, int]


def polygons_of(mask: Bool) -> list[Int32]:
    """Return one ring for each part of a mask, with the part's holes joined to it.

    Args:
        mask: (h, w) bool. Parts are 8-connected: pixels that touch at a corner are one.

    Returns:
        (n, 2) int32 rings of (x, y), px, clockwise on screen, top part first. Pixel (x, y) is the
        square from (x, y) to (x + 1, y + 1). The rings are exact: filled, they give the mask again.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    left, top = int(columns[0]), int(rows[0])
    window = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    corner = np.array([left, top], dtype=np.int32)
    return [polygon + corner for polygon in _polygons(window)]


def joined(rings: Sequence[Int32]) -> Int32:
    """Join rings to one, for formats that give an object a single ring.

    Bridges of zero width connect the first corner of each ring to the nearest corner of those
    before it. Renderers that also draw the outline show a bridge as a line.

    Args:
        rings: at least one, (n, 2) int32, px.
    """
    whole = rings[0]
    for ring in rings[1:]:
        i = int(np.argmin(np.hypot(*(whole - ring[0]).T)))
        whole = np.concatenate([whole[: i + 1], ring, ring[:1], whole[i:]])
    return whole


def _polygons(mask: Bool) -> list[Int32]:
    rings = [_oriented(ring, mask) for ring in _rings(mask)]
    edges = _horizontal_edges(rings)
    # for each edge, what bridges insert in it; holes below a ring come after it
    inserts: dict[tuple[int, int], list[list[_Point]]] = {}
    polygons = []
    for i in range(len(rings) - 1, -1, -1):
        points = _spliced(i, rings[i], inserts)
        x, y = points[0]
        if mask[y, x]:
            polygons.append(np.array(points, dtype=np.int32))
            continue
        top = 1 + int(np.max(np.flatnonzero(~mask[:y, x]), initial=-1))
        first, last = np.searchsorted(edges[:, 0], (top, top + 1))
        row = edges[first:last]
        (edge,) = row[(row[:, 1] <= x) & (x < row[:, 2]), 3:].tolist()
        inserts.setdefault(tuple(edge), []).append([(x, top), *points, points[0], (x, top)])
    return polygons[::-1]


def _rings(mask: Bool) -> list[list[_Point]]:
    """Return all boundaries, each from its top left corner to the right.

    The corners of a row, in order, are pairwise the ends of its horizontal edges, and those of a
    column of its vertical edges; alternating between both partners walks a boundary.
    """
    padded = np.pad(mask, 1)
    tl, tr, bl, br = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    corner = tl ^ tr ^ bl ^ br
    touching = (tl == br) & (tr == bl) & (tl != tr)  # two pixels, so the boundary passes twice
    y, x = np.nonzero(corner)
    y2, x2 = np.nonzero(touching)
    ys, xs = np.concatenate([y, y2, y2]), np.concatenate([x, x2, x2])
    no, yes = np.zeros(len(y2), dtype=np.bool_), np.ones(len(y2), dtype=np.bool_)
    right = np.concatenate([(tr != br)[corner], no, yes])
    down = np.concatenate([(bl != br)[corner], tl[touching], tr[touching]])

    in_rows = np.lexsort((right, xs, ys))
    across = _partners(in_rows).tolist()
    along = _partners(np.lexsort((down, ys, xs))).tolist()
    points = list(zip(xs.tolist(), ys.tolist(), strict=True))
    seen = [False] * len(points)
    rings = []
    for first in in_rows.tolist():
        ring, at = [], first
        while not seen[at]:
            other = across[at]
            seen[at] = seen[other] = True
            ring += [points[at], points[other]]
            at = along[other]
        if ring:
            rings.append(ring)
    return rings


def _partners(order: Int64) -> Int64:
    partners = np.empty_like(order)
    partners[order[::2]], partners[order[1::2]] = order[1::2], order[::2]
    return partners


def _oriented(ring: list[_Point], mask: Bool) -> list[_Point]:
    """Reverse the boundary of a hole; it still begins at its top left corner."""
    x, y = ring[0]
    return ring if mask[y, x] else [ring[0], *ring[:0:-1]]


def _horizontal_edges(rings: list[list[_Point]]) -> Int64:
    """Return (n, 5) rows by ascending y: y, left x, right x, ring, place in the ring."""
    rows = [
        (a[1], min(a[0], b[0]), max(a[0], b[0]), i, place)
        for i, ring in enumerate(rings)
        for place, (a, b) in enumerate(pairwise([*ring, ring[0]]))
        if a[1] == b[1]
    ]
    return np.array(sorted(rows), dtype=np.int64).reshape(-1, 5)


def _spliced(
    i: int, ring: list[_Point], inserts: dict[tuple[int, int], list[list[_Point]]]
) -> list[_Point]:
    points: list[_Point] = []
    for place, (a, b) in enumerate(pairwise([*ring, ring[0]])):
        points.append(a)
        bridged = inserts.pop((i, place), [])
        for insert in sorted(bridged, key=lambda points: points[0], reverse=b < a):
            points += insert
    return points
