"""Times each page and each form of `samseg review` over a synthetic output folder.

Requests go through the whole application in this process, without a network. The photos of a
synthetic folder do not exist: their pictures are not timed.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import numpy as np
from starlette.types import ASGIApp, Message, Scope

from samseg.clustering.linkage import Linkage
from samseg.clustering.settings import ClusterSettings
from samseg.engine.local import Local
from samseg.lab.benchmark.machine import Machine
from samseg.lab.benchmark.processes import process_tree
from samseg.lab.benchmark.reduce.folder import make_folder
from samseg.lab.benchmark.reduce.synthetic import EMBEDDING
from samseg.lab.benchmark.review.record import ReviewRecord, RouteTime
from samseg.output import Output
from samseg.progress import Progress
from samseg.recipe import fingerprint
from samseg.review.application import application
from samseg.review.guard import Secrets
from samseg.review.session import Review, open_review
from samseg.review.shown_masks import branches
from samseg.stages.cluster.stage import cluster

_HOST, _PORT = "127.0.0.1", 8417
_OF_CLASS = 150
"""Masks of a sample that make a class: 196 classes of a million masks."""


def measure_review(
    folder: Path, *, masks: int, repeats: int, command: str, progress: Progress
) -> ReviewRecord:
    """Measure one folder, which is made once and kept; edits go to a copy by hard links.

    Args:
        folder: where synthetic folders are.
        masks: size of the folder.
        repeats: requests of each kind.
        command: the command that reproduces the figures.
        progress: where progress is shown.
    """
    import torch

    made = folder / f"review-{masks}"
    progress.start("synthesize", None, "masks")
    if not (made / "classes").exists():
        make_folder(str(made), masks, 0)
        output = Output(str(made))
        fit = Linkage(min_size=_OF_CLASS)
        settings = ClusterSettings(embedding=EMBEDDING, fit=fit, reference=min(masks, 50_000))
        recipe = fingerprint(output.recipe() or {})
        cluster(output, settings, recipe_fingerprint=recipe, engine=Local(attempts=1))
    progress.finish(f"{masks} masks in {made}")
    with TemporaryDirectory(dir=folder) as scratch:
        copy = Path(scratch) / "output"
        shutil.copytree(made, copy, copy_function=os.link)
        started = time.perf_counter()
        review = open_review(Output(str(copy)), "benchmark", Path(scratch) / "pictures", progress)
        warm_up = time.perf_counter() - started
        classes = len(review.now.found.current)
        rows = asyncio.run(_timed(review, repeats, progress))
        resident = next(p.resident_bytes for p in process_tree() if p.own)
    return ReviewRecord(
        command=command,
        machine=Machine.here(torch.device("cpu"), 1),
        masks=len(review.now.catalogue),
        classes=classes,
        warm_up_s=warm_up,
        resident_bytes=resident,
        rows=rows,
    )


class PageClient:
    """Calls an application as a browser that was let in."""

    def __init__(self, app: ASGIApp, known: Secrets):
        """Keep the application and what the browser knows."""
        self._app, self._known = app, known

    async def call(self, path: str, form: dict[str, object] | None = None) -> tuple[int, int]:
        """Return status and bytes of an answer; raises OSError for one that is refused."""
        path, _, query = path.partition("?")
        body = urlencode(form or {}, doseq=True).encode()
        headers = {
            "host": f"{_HOST}:{_PORT}",
            "origin": f"http://{_HOST}:{_PORT}",
            "cookie": f"samseg-review-{_PORT}={self._known.token}",
            "content-length": str(len(body)),
        }
        scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "method": "GET" if form is None else "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
            "server": (_HOST, _PORT),
        }
        status, size, location = 0, 0, ""

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        async def send(message: Message) -> None:
            nonlocal status, size, location
            status = message.get("status", status)
            size += len(message.get("body", b""))
            location += dict(message.get("headers", ())).get(b"location", b"").decode()

        await self._app(scope, receive, send)
        if status >= 400:
            raise OSError(f"{path} answered {status}")
        if form is not None:  # the page that the form leads to belongs to the answer
            return await self.call(location)
        return status, size


async def _timed(review: Review, repeats: int, progress: Progress) -> tuple[RouteTime, ...]:
    known = Secrets()
    client = PageClient(application(review, known, _HOST, _PORT), known)
    progress.start("requests", None, "routes")
    rows = []
    for what, calls in _kinds(review, known, repeats).items():
        seconds, largest, before = [], 0, review.now.newest
        form: dict[str, object] | None = None
        for path, form in calls:
            started = time.perf_counter()
            _, size = await client.call(path, form)
            seconds.append(time.perf_counter() - started)
            largest = max(largest, size)
        if form is not None and review.now.newest == before:
            raise OSError(f"{path} was always refused, as here: {form}")
        median, p95 = np.percentile(seconds, [50, 95]) * 1e3
        row = RouteTime(
            what=what,
            requests=len(seconds),
            median_ms=float(median),
            p95_ms=float(p95),
            bytes=largest,
        )
        rows.append(row)
        progress.note(f"{what}: {row.median_ms:.0f} ms, p95 {row.p95_ms:.0f} ms")
    progress.finish(f"{len(rows)} routes")
    return tuple(rows)


Call = tuple[str, dict[str, object] | None]


def _kinds(review: Review, known: Secrets, repeats: int) -> dict[str, Iterator[Call]]:
    """Return what is timed: each kind of request `repeats` times, with other classes and masks."""
    draw = np.random.default_rng(0)

    def some_class() -> int:
        current = review.now.found.current
        return current[int(draw.integers(len(current)))]

    def some_masks(count: int) -> list[str]:
        rows = draw.integers(len(review.now.catalogue), size=count)
        return review.now.catalogue.mask_ids(rows)

    def pages(path: Callable[[], str]) -> Iterator[Call]:
        return ((path(), None) for _ in range(repeats))

    def forms(verb: str, fields: Callable[[int], dict[str, object]]) -> Iterator[Call]:
        for n in range(repeats):
            own = {"form": known.form, "seen": review.now.newest, "back": "/"}
            yield f"/{verb}", own | fields(n)

    def other_class() -> int:
        return next(c for c in iter(some_class, None) if c != largest_class)

    def divisible(n: int) -> int:
        sizes = review.now.masks.most_common()
        return [c for c, _ in sizes if len(branches(review.now, review.steps, c)) == 2][n]

    largest = review.now.masks.most_common()
    largest_class = next(c for c, _ in largest if c >= 0)
    return {
        "all classes": pages(lambda: f"/?page={draw.integers(1, 9)}"),
        "search": pages(lambda: f"/?q={some_class()}"),
        "classes, most unsure first": pages(lambda: "/?sort=unsure"),
        "a class": pages(lambda: f"/classes/{some_class()}"),
        "the largest class": pages(lambda: f"/classes/{largest_class}?order=unsure"),
        "masks without a class": pages(lambda: "/classes/none"),
        "a mask, with similar ones": pages(lambda: f"/masks/{some_masks(1)[0]}?part=1"),
        "review queue": pages(lambda: "/queue"),
        "map": pages(lambda: "/map"),
        "history": pages(lambda: "/history"),
        "name": forms("name", lambda n: {"class": some_class(), "name": f"name {n}"}),
        "move 12 masks": forms("move", lambda n: {"mask": some_masks(12), "into": some_class()}),
        "ignore": forms("ignore", lambda n: {"class": review.now.found.current[n]}),
        "split": forms("split", lambda n: {"class": divisible(n)}),
        "merge": forms("merge", lambda n: {"class": other_class(), "into": largest_class}),
        "undo": forms("undo", lambda n: {"edit": n + 1}),
    }
