"""The pages of classes: all of them, one with its masks, and one mask in its photo."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from samseg.errors import ImageError, one_line
from samseg.review.classes_now import ClassesNow
from samseg.review.guard import refused
from samseg.review.paging import Pages, number
from samseg.review.shown_masks import ORDERS, branches, examples, ordered
from samseg.review.site import ReviewedClass, Site, class_in
from samseg.review.trend import trend
from samseg.types import IGNORED, NOISE

CLASSES, MASKS = 24, 60
"""Per page."""
OTHERS, SIMILAR = 40, 24
"""Other masks of a photo, and similar masks, beside one."""
_SIDE = 4
SHOW = {
    "all": "all",
    "unnamed": "without a name",
    "named": "named",
    "new": "new tonight",
    "unsure": "mostly unsure",
    "ignored": "ignored",
}
SORTS = {"size": "largest first", "unsure": "most unsure first", "name": "by name", "new": "by id"}
_MOSTLY = 0.5


def classes(site: Site, request: Request) -> Response:
    """Show all classes that the search and the filters leave."""
    now, query = site.review.refresh(), request.query_params
    wanted = query.get("q", "").strip()
    show = query.get("show") if query.get("show") in SHOW else "all"
    sort = query.get("sort") if query.get("sort") in SORTS else "size"
    least = max(0, number(query.get("least"), 0))
    known = [site.reviewed(now, c, count=0) for c in now.found.current]
    found = [c for c in known if _matches(c, wanted) and _shown(c, str(show)) and c.masks >= least]
    pages = Pages.of(len(found), number(query.get("page"), 1), CLASSES)
    part = pages.part(sorted(found, key=_KEYS[str(sort)]))
    return site.render(
        request,
        "classes.html.j2",
        now,
        classes=[site.reviewed(now, c.class_id) for c in part],
        largest=max((c.masks for c in known), default=1),
        without=[site.reviewed(now, c, count=2 * _SIDE) for c in (NOISE, IGNORED) if now.masks[c]],
        pages=pages,
        q=wanted,
        show=show,
        sort=sort,
        least=least,
        focus=number(query.get("focus"), -2),
        named=sum(c.named for c in known),
        total=len(known),
        SHOW=SHOW,
        SORTS=SORTS,
    )


_KEYS: dict[str, Callable[[ReviewedClass], Any]] = {
    "size": lambda c: (-c.masks, c.class_id),
    "unsure": lambda c: (-(c.unsure / c.masks if c.masks else 0), -c.masks),
    "name": lambda c: (not c.named, c.name.casefold(), c.class_id),
    "new": lambda c: -c.class_id,
}


def _matches(reviewed: ReviewedClass, wanted: str) -> bool:
    return wanted.casefold() in reviewed.name.casefold() or wanted == str(reviewed.class_id)


def _shown(reviewed: ReviewedClass, show: str) -> bool:
    return {
        "all": True,
        "unnamed": not reviewed.named,
        "named": reviewed.named,
        "new": reviewed.is_new,
        "unsure": reviewed.unsure > _MOSTLY * reviewed.masks,
        "ignored": reviewed.ignored,
    }[show]


def one_class(site: Site, request: Request) -> Response:
    """Show a class, its masks, and one step finer and coarser."""
    now, query = site.review.refresh(), request.query_params
    class_id = class_in(request.path_params["which"])
    if class_id is None or (class_id >= 0 and class_id not in now.found.current):
        gone = -1 if class_id is None else class_id
        into = now.found.into.get(gone)
        part = into is not None and into != gone
        text = f"{now.found.name(gone)} is a part of {now.found.name(into or 0)} now"
        return missing(site, request, now, text if part else "There is no such class", into)
    order = query.get("order") if query.get("order") in ORDERS else "typical"
    rows = ordered(now, class_id, str(order))
    pages = Pages.of(len(rows), number(query.get("page"), 1), MASKS)
    siblings = site.review.steps.coarser(now.found, class_id)
    return site.render(
        request,
        "class.html.j2",
        now,
        of=site.reviewed(now, class_id),
        rows=pages.part(rows.tolist()),
        photos=now.catalogue.images(rows),
        pages=pages,
        order=order,
        ORDERS=ORDERS,
        finer=_sides(site, now, class_id),
        coarser=[site.reviewed(now, c, count=_SIDE) for c in siblings[:_SIDE]],
        siblings=siblings,
        trend=trend(site.review.nights, now.found.into, class_id),
        notes=_notes(site, (class_id, *now.found.parts.get(class_id, ()))),
    )


def _notes(site: Site, class_ids: tuple[int, ...]) -> list[str]:
    """Return what refits did to classes."""
    return [note for c in class_ids for note in site.review.notes.get(c, ())]


def _sides(site: Site, now: ClassesNow, class_id: int) -> list[tuple[int, list[int]]]:
    """Return masks and examples of the two sides that a split would make, the larger one first."""
    sides = branches(now, site.review.steps, class_id)
    return [(len(side), examples(now, class_id, _SIDE, side)) for side in sides]


def mask(site: Site, request: Request) -> Response:
    """Show a mask in its photo, the photo's other masks, and masks that are similar."""
    now, catalogue = site.review.refresh(), site.review.now.catalogue
    mask_id = request.path_params["mask_id"]
    row = catalogue.find(mask_id)
    if row is None:
        return missing(site, request, now, "There is no such mask", None)
    image_id = mask_id.rpartition("-")[0]
    review, pictures = site.review, site.review.pictures
    try:
        facts, image, size = (
            pictures.mask(row),
            pictures.image(image_id),
            pictures.size_of(image_id),
        )
    except ImageError as e:
        return refused(404, "This mask cannot be shown", one_line(e))
    near = review.sample.nearest(review.output, catalogue.located([mask_id])[0], SIMILAR)
    similar = [(catalogue.find(other), distance) for other, distance in near]
    others = [r for r in catalogue.image_rows(image_id) if r != row]
    template = "mask_part.html.j2" if "part" in request.query_params else "mask.html.j2"
    return site.render(
        request,
        template,
        now,
        row=row,
        mask_id=mask_id,
        image=image,
        facts=facts,
        size=size,
        class_id=int(now.class_ids[row]),
        decided=bool(now.decided[row]),
        distance=float(catalogue.distance[row]),
        ratio=float(catalogue.ratio[row]),
        others=others[:OTHERS],
        more=max(0, len(others) - OTHERS),
        similar=[(r, distance) for r, distance in similar if r is not None],
        sampled=len(review.sample.mask_ids),
    )


def missing(site: Site, request: Request, now: ClassesNow, text: str, into: int | None) -> Response:
    """Say what is not there, and what became of it."""
    return site.render(request, "missing.html.j2", now, status=404, text=text, into=into)
