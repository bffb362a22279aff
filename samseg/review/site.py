"""What all pages have in common: the template, names of classes, messages after an edit."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse

from samseg.edits.edit import Edit
from samseg.edits.resolved import EXAMPLE
from samseg.errors import redact
from samseg.review.classes_now import ClassesNow
from samseg.review.guard import Secrets
from samseg.review.paging import number
from samseg.review.session import Review
from samseg.review.shown_masks import examples
from samseg.stages.edits.editor import IGNORED, NO_CLASS
from samseg.stages.edits.listing import described
from samseg.types import IGNORED as IGNORED_MASKS
from samseg.types import NOISE
from samseg.views.report import html_environment

_NOTICES = 50
EXAMPLES = 6
_WITHOUT = {NOISE: NO_CLASS, IGNORED_MASKS: IGNORED}
"""Masks without a class -> what stands for their class in addresses and forms."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a page says after a form was sent.

    Attributes:
        text: the message.
        refused: whether nothing was written.
        edit: number of the edit that was made; it can be undone.
    """

    text: str
    refused: bool = False
    edit: int | None = None


@dataclass(frozen=True, slots=True)
class ReviewedClass:
    """A class as the pages show it.

    Attributes:
        class_id: its id, `NOISE` or `IGNORED`.
        name: its display name.
        named: whether it has a name that somebody gave it.
        masks: number of its masks.
        unsure: of these, not clearly of the class and not decided by a person.
        ignored: whether it is left out of exports.
        is_new: whether the last night's fit found it.
        by_example: whether people defined it by examples.
        merged: the classes that are part of it.
        rows: masks that show it.
    """

    class_id: int
    name: str
    named: bool
    masks: int
    unsure: int
    ignored: bool
    is_new: bool
    by_example: bool
    merged: tuple[int, ...]
    rows: tuple[int, ...] = ()

    @property
    def path(self) -> str:
        """Address of its page."""
        return class_path(self.class_id)


def class_in(text: str) -> int | None:
    """Return the class that an address stands for, None if it stands for none."""
    without = {word: class_id for class_id, word in _WITHOUT.items()}
    found = without.get(text, number(text, -3))
    return found if found >= 0 or text in without else None


def class_path(class_id: int) -> str:
    """Return the address of a class's page."""
    return f"/classes/{_WITHOUT.get(class_id, class_id)}"


class Site:
    """Renders pages of one session."""

    def __init__(self, review: Review, known: Secrets):
        """Keep what pages need, and compile the templates, which takes longer than a page.

        Args:
            review: the session.
            known: the value that forms carry.
        """
        self.review, self.known = review, known
        self._notices: OrderedDict[str, Notice] = OrderedDict()
        environment = html_environment("samseg.review", "templates")
        environment.globals |= {"class_path": class_path, "described": described}
        names = environment.list_templates(extensions=["j2"])
        self._templates = {name: environment.get_template(name) for name in names}

    def render(
        self, request: Request, template: str, now: ClassesNow, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """Render a page.

        Args:
            request: what is answered.
            template: its file.
            now: the classes that the page shows.
            status: of HTTP.
            **values: of the template.
        """
        shown = self._templates[template].render(
            now=now,
            catalogue=now.catalogue,
            name=now.found.name,
            form=self.known.form,
            here=address(request),
            at=lambda **changed: address(request, **changed),
            notice=self._notices.get(request.query_params.get("notice", "")),
            outdated=self.review.is_outdated(),
            output=redact(self.review.output.uri.removeprefix("file://")),
            path=request.url.path,
            unsure=sum(now.unsure.values()),
            last_edit=last_edit(now),
            **values,
        )
        return HTMLResponse(shown, status)

    def notify(self, notice: Notice) -> str:
        """Keep a message for the next page, and return its id."""
        key = secrets.token_hex(8)
        self._notices[key] = notice
        while len(self._notices) > _NOTICES:
            self._notices.popitem(last=False)
        return key

    def reviewed(self, now: ClassesNow, class_id: int, count: int = EXAMPLES) -> ReviewedClass:
        """Return a class, with masks that show it."""
        row, parts = now.found.rows.get(class_id, {}), now.found.parts.get(class_id, ())
        name = now.found.name(class_id)
        return ReviewedClass(
            class_id=class_id,
            name=name,
            named=class_id >= 0 and name != f"class {class_id}",
            masks=now.masks[class_id],
            unsure=now.unsure[class_id],
            ignored=class_id in now.found.ignored,
            is_new=not self._born.isdisjoint((class_id, *parts)),
            by_example=row.get("origin") == EXAMPLE,
            merged=parts,
            rows=tuple(examples(now, class_id, count)) if count else (),
        )

    @cached_property
    def on_map(self) -> list[tuple[int, float, float]]:
        """Row and place of the masks on the map."""
        sample = self.review.sample
        rows = self.review.sample_rows[sample.shown].tolist()
        return [
            (row, x, y)
            for row, (x, y) in zip(rows, sample.places.tolist(), strict=True)
            if row >= 0
        ]

    @cached_property
    def _born(self) -> frozenset[int]:
        """The classes that the last night's fit found; none in the first night."""
        tonight = self.review.tonight
        if tonight is None or tonight.codebook_before is None:
            return frozenset()
        return frozenset(event.class_id for event in tonight.born)


def address(request: Request, **changed: Any) -> str:
    """Return the address of a page with other query parameters, without messages."""
    query = {k: v for k, v in request.query_params.items() if k not in ("notice", "focus", "part")}
    query |= {k: str(v) for k, v in changed.items()}
    query = {k: v for k, v in query.items() if v not in ("", "None")}
    return quote(request.url.path) + (f"?{urlencode(query)}" if query else "")


def last_edit(now: ClassesNow) -> Edit | None:
    """Return the newest edit that an undo can take back, None if there is none."""
    edits = (e for e in reversed(now.edits) if now.state.undone.get(e.number) is None)
    return next((e for e in edits if e.action.action != "undo"), None)
