"""What forms do: each is an edit, and leads back to the page that it came from.

A form says which edit was the newest when its page was made. If something that it concerns was
changed since, nothing is written, and the page, made anew, says what was changed.
"""

import hmac
from collections.abc import Callable
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from samseg.edits.edit import Edit
from samseg.edits.replay import replay
from samseg.errors import ConfigError, SamsegError, redact
from samseg.review.guard import local_path, refused
from samseg.review.paging import number
from samseg.review.session import ReviewEditor
from samseg.review.site import Notice, Site
from samseg.stages.edits.editor import NO_CLASS
from samseg.stages.edits.listing import described

LARGEST = 1 << 20
"""Bytes of a form."""
_FIELDS = 2_000


class Form:
    """The fields of a form; one may have several values."""

    def __init__(self, body: bytes):
        """Decode the body of a request.

        Raises:
            ValueError: it is no form, or has too many fields.
        """
        self._pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict"
        )

    def one(self, field: str) -> str:
        """Return the last value of a field, empty if it is not there."""
        return next((v for k, v in reversed(self._pairs) if k == field), "")

    def all(self, field: str) -> list[str]:
        """Return all values of a field, each once."""
        return list(dict.fromkeys(v for k, v in self._pairs if k == field))

    def marked(self, field: Literal["class", "mask"]) -> list[str]:
        """Return the classes or masks that were chosen.

        Raises:
            ConfigError: there are none.
        """
        if found := self.all(field):
            return found
        raise ConfigError(f"no {field} is marked; mark some first")

    def target(self, field: str = "into") -> str:
        """Return a class that was typed.

        Raises:
            ConfigError: it is empty.
        """
        if text := self.one(field).strip():
            return text
        raise ConfigError("no class is given; type its name or id")


Act = Callable[[Site, Form, int], list[Edit]]


async def answer(site: Site, request: Request, act: Act) -> Response:
    """Carry out what a form asks for."""
    try:
        length = int(request.headers.get("content-length", ""))
    except ValueError:
        length = LARGEST + 1
    if length > LARGEST:
        return refused(413, "This form is too large", f"It may have {LARGEST} bytes at most.")
    try:
        form = Form(await request.body())
    except ValueError:
        return refused(400, "This form cannot be read", "Its text is not UTF-8, or it is too long.")
    if not hmac.compare_digest(form.one("form").encode(), site.known.form.encode()):
        return refused(
            403,
            "This page is of an earlier session",
            "`samseg review` was started again since. Load the page again, and repeat the edit.",
        )
    seen = max(0, number(form.one("seen"), 0))
    try:
        made = await run_in_threadpool(act, site, form, seen)
        notice = Notice(_told(site, made), edit=made[-1].number if made else None)
    except SamsegError as e:
        notice = Notice(redact(str(e)), refused=True)
    return RedirectResponse(_back(form, site.notify(notice), notice.refused), 303)


def _told(site: Site, made: list[Edit]) -> str:
    """Return what was done, and which other edits have no effect now."""
    now = site.review.now
    before = replay(e for e in now.edits if e.number < made[0].number).idle if made else {}
    told = [f"Edit {edit.number}: {described(edit)}" for edit in made]
    told += [
        f"edit {n} has no effect now: {why}"
        for n, why in now.state.idle.items()
        if n not in before and made and n < made[0].number
    ]
    return ". ".join(told) + "." if told else "Nothing to do."


def _back(form: Form, notice: str, was_refused: bool) -> str:
    """Return the address that a form leads to: of the page that it was on."""
    wanted = form.one("stay") if was_refused and form.one("stay") else form.one("back")
    parts = urlsplit(wanted or "/")
    query = [(k, v) for k, v in parse_qsl(parts.query) if k not in ("notice", "focus")]
    if form.one("focus") and not was_refused:
        query.append(("focus", form.one("focus")))
    return f"{local_path(parts.path)}?{urlencode([*query, ('notice', notice)])}"


def _edit(site: Site, seen: int, act: Callable[[ReviewEditor], Edit]) -> list[Edit]:
    return [site.review.edit(seen, act)]


def name(site: Site, form: Form, seen: int) -> list[Edit]:
    """Give a class a name."""
    (which, *_), text, author = form.marked("class"), form.one("name"), site.review.author
    return _edit(site, seen, lambda e: e.name(which, text.strip(), author, form.one("reason")))


def merge(site: Site, form: Form, seen: int) -> list[Edit]:
    """Make classes one: into the class that was typed, or the largest of those marked."""
    now, chosen, author = site.review.now, form.marked("class"), site.review.author
    typed = form.one("into").strip()
    if not typed and len(chosen) < 2:
        raise ConfigError("mark two classes or more, or type the class that these become a part of")
    into = typed or max(chosen, key=lambda c: now.masks[number(c, -2)])
    others = [c for c in chosen if c != into]
    return _edit(site, seen, lambda e: e.merge(others or chosen, into, author, form.one("reason")))


def split(site: Site, form: Form, seen: int) -> list[Edit]:
    """Divide a class in its two branches of the tree."""
    (which, *_), author = form.marked("class"), site.review.author
    return _edit(site, seen, lambda e: e.split(which, (), author, form.one("reason")))


def ignore(site: Site, form: Form, seen: int) -> list[Edit]:
    """Leave classes out of exports."""
    author, reason = site.review.author, form.one("reason")
    return [
        site.review.edit(seen, lambda e, c=which: e.ignore(c, author, reason))  # type: ignore[misc]
        for which in form.marked("class")
    ]


def restore(site: Site, form: Form, seen: int) -> list[Edit]:
    """Take ignored classes into exports again."""
    author, reason = site.review.author, form.one("reason")
    return [
        site.review.edit(seen, lambda e, c=which: e.restore(c, author, reason))  # type: ignore[misc]
        for which in form.marked("class")
    ]


def move(site: Site, form: Form, seen: int) -> list[Edit]:
    """Give masks another class, none, or none and leave them out of exports."""
    masks, author = form.marked("mask"), site.review.author
    into = form.one("without") or form.target()
    return _edit(site, seen, lambda e: e.move(masks, into, author, form.one("reason")))


def undo(site: Site, form: Form, seen: int) -> list[Edit]:
    """Take one edit back."""
    edit, author = number(form.one("edit"), 0), site.review.author
    return _edit(site, seen, lambda e: e.undo(edit, author, form.one("reason")))


def decide(site: Site, form: Form, seen: int) -> list[Edit]:
    """Accept masks of a class, and move those that are marked as wrong.

    An accepted mask is moved to the class that it has: it stays there under every later codebook,
    and nobody is asked for it again.
    """
    review, (which, *_) = site.review, form.marked("class")
    shown, wrong = form.marked("mask"), form.all("wrong")
    right = [mask for mask in shown if mask not in wrong]
    target = form.one("without") or form.one("into").strip() or NO_CLASS
    made: list[Edit] = []
    for masks, into in ((right, which), ([m for m in shown if m in wrong], target)):
        if masks:
            made.append(
                review.edit(
                    seen,
                    lambda e, m=masks, c=into: e.move(m, c, review.author),  # type: ignore[misc]
                )
            )
            review.pace.add(len(masks))
    return made


def skip(site: Site, form: Form, seen: int) -> list[Edit]:
    """Leave masks out of the queue until the session ends."""
    found = (site.review.now.catalogue.find(mask) for mask in form.marked("mask"))
    site.review.skipped.update(row for row in found if row is not None)
    return []


ACTIONS: dict[str, Act] = {
    "name": name,
    "merge": merge,
    "split": split,
    "ignore": ignore,
    "restore": restore,
    "move": move,
    "undo": undo,
    "decide": decide,
    "skip": skip,
}
"""Verb -> what it does; the path of its form."""
