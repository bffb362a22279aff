"""The pages about the whole lake: the review queue, the map, the last night and the history."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from samseg.drift import Drift
from samseg.review.paging import Pages, number
from samseg.review.shown_masks import queue
from samseg.review.site import ReviewedClass, Site
from samseg.types import NOISE

QUEUED = 12
"""Masks that are judged at a time."""
EDITS = 50
_LEGEND = 40
_EVENTS = 24
_SHARES = 40


def review_queue(site: Site, request: Request) -> Response:
    """Show masks of one class to accept, reject or move, least sure first."""
    review = site.review
    now = review.refresh()
    only = number(request.query_params.get("class"), NOISE)
    only_class = only if only in now.found.current else None
    rows = queue(now, frozenset(review.skipped), QUEUED, only_class)
    class_id = int(now.class_ids[rows[0]]) if rows else NOISE
    return site.render(
        request,
        "queue.html.j2",
        now,
        rows=rows,
        of=site.reviewed(now, class_id, count=8) if rows else None,
        only=only_class,
        pace=review.pace,
        skipped=len(review.skipped),
    )


def sample_map(site: Site, request: Request) -> Response:
    """Show the sample in two dimensions."""
    now, sample = site.review.refresh(), site.review.sample
    points: list[tuple[int, int, float, float]] = []
    counts: dict[int, int] = {}
    for row, x, y in site.on_map:
        class_id = int(now.class_ids[row])
        counts[class_id] = counts.get(class_id, 0) + 1
        points.append((row, class_id, x, y))
    points.sort(key=lambda point: point[1] != NOISE)  # noise lies below
    largest = sorted(counts, key=lambda c: (c == NOISE, -counts[c]))[:_LEGEND]
    return site.render(
        request,
        "map.html.j2",
        now,
        points=points,
        legend=[(c, counts[c]) for c in largest],
        hidden=len(counts) - len(largest),
        sampled=len(sample.mask_ids),
    )


def night(site: Site, request: Request) -> Response:
    """Show what the last night changed."""
    now, tonight = site.review.refresh(), site.review.tonight
    into = now.found.into
    shown: dict[str, list[ReviewedClass]] = {}
    if tonight:
        for what, events in (("born", tonight.born), ("split", tonight.split)):
            ids = dict.fromkeys(into.get(e.class_id, e.class_id) for e in events[:_EVENTS])
            shown[what] = [site.reviewed(now, c) for c in ids if c in now.found.current]
    far = []
    for row in tonight.classes if tonight else ():
        rows = [now.catalogue.find(one.mask_id) for one in row.exemplars]
        if found := [r for r in rows if r is not None]:
            far.append((row, found))
    return site.render(
        request,
        "night.html.j2",
        now,
        tonight=tonight,
        nights=site.review.nights,
        shown=shown,
        far=far,
        events=_EVENTS,
        shares=_shares(tonight, into)[:_SHARES] if tonight else (),
    )


Share = tuple[int, int, float | None, float | None]
"""A class, its new masks, and its shares of the new masks and of those before."""


def _shares(drift: Drift, into: Mapping[int, int]) -> list[Share]:
    """Add up what a night measured of classes that are one now; the largest change first."""
    found: dict[int, Share] = {}
    for row in drift.classes:
        class_id = into.get(row.class_id, row.class_id)
        _, masks, share, before = found.get(class_id, (class_id, 0, None, None))
        found[class_id] = (
            class_id,
            masks + row.masks,
            _sum(share, row.share),
            _sum(before, row.share_before),
        )
    return sorted(found.values(), key=lambda s: -abs((s[2] or 0) - (s[3] or 0)))


def _sum(one: float | None, other: float | None) -> float | None:
    return one if other is None else other + (one or 0)


def history(site: Site, request: Request) -> Response:
    """Show all edits, the newest first."""
    now = site.review.refresh()
    edits = [edit for edit in reversed(now.edits)]
    pages = Pages.of(len(edits), number(request.query_params.get("page"), 1), EDITS)
    return site.render(
        request,
        "history.html.j2",
        now,
        edits=pages.part(edits),
        pages=pages,
        refits=[text for texts in site.review.notes.values() for text in texts],
    )
