"""What all requests share: the folder's masks in memory, and the log of edits as it is now."""

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg.drift import Drift
from samseg.edits.edit import Edit
from samseg.edits.log import read_log
from samseg.edits.replay import ClassState, replay
from samseg.edits.resolved import ResolvedClasses
from samseg.errors import CodebookError, ConflictError, redact
from samseg.output import Output
from samseg.progress import Progress
from samseg.recipe import fingerprint
from samseg.review.catalogue import Catalogue, load_catalogue
from samseg.review.classes_now import ClassesNow, classes_now
from samseg.review.mask_pictures import MaskPictures
from samseg.review.picture_cache import PictureCache
from samseg.review.sample_map import SampleMap, read_sample_map
from samseg.review.sampled_exemplars import SampledExemplars
from samseg.review.tree_steps import TreeSteps
from samseg.stages.cluster.codebook_store import load_codebook
from samseg.stages.drift import last
from samseg.stages.edits.editor import ClassEditor
from samseg.stages.edits.refits import refit_events
from samseg.stages.edits.resolution import Resolver
from samseg.stages.edits.sides import Exemplars
from samseg.types import Int64

_NIGHTS = 30
"""Nights of a class's trend."""
_PACE_S = 600.0
"""Labels per minute are those of the last ten minutes."""
_BREAK_S = 60.0
"""A longer time between two decisions is a break, and does not count."""
_LOOK_S = 2.0
"""How often the folder is asked for a newer codebook."""


class Pace:
    """How many masks have been decided, and how fast."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none."""
        self._clock, self.total = clock, 0
        self._recent: deque[tuple[float, int]] = deque([(clock(), 0)])

    def add(self, masks: int) -> None:
        """Count masks that were decided now."""
        self.total += masks
        self._recent.append((self._clock(), masks))
        while self._recent[0][0] < self._clock() - _PACE_S:
            self._recent.popleft()

    @property
    def per_minute(self) -> float | None:
        """Masks per minute over the last ten minutes, without breaks; None before the first."""
        times = [at for at, _ in self._recent]
        spent = sum(min(b - a, _BREAK_S) for a, b in pairwise(times))
        masks = sum(n for _, n in list(self._recent)[1:])
        return 60 * masks / max(spent, 1.0) if masks else None


class ReviewEditor(ClassEditor):
    """Edits decided on by what a page showed; see `samseg.edits.log.append`."""

    def __init__(self, review: "Review", seen: int):
        """Edit as of the log when the page was made.

        Args:
            review: the session.
            seen: number of the newest edit then.
        """
        super().__init__(review.output)
        self._review, self._seen, self._loaded = review, seen, review.steps.codebook

    def _read(self) -> tuple[int, ClassState, ResolvedClasses]:
        now = self._review.now
        if self._seen >= now.newest:
            return now.catalogue.version, now.state, now.found
        state = replay(now.edits[: self._seen])
        version = now.catalogue.version
        return version, state, self._resolver(version).after(state)

    def _resolver(self, version: int) -> Resolver:
        return self._review.resolver

    def _log(self) -> Sequence[Edit]:
        return self._review.log()

    def _locate(self, mask_ids: Sequence[str]) -> None:
        self._review.now.catalogue.located(mask_ids)

    def _exemplars(self, found: ResolvedClasses) -> Exemplars:
        stored = super()._exemplars(found)
        if self._seen < self._review.now.newest:  # the classes in memory are newer ones
            return stored
        review = self._review
        return SampledExemplars(review.now, review.sample, review.sample_rows, stored)


@dataclass(slots=True)
class Review:
    """The session of one `samseg review`.

    Attributes:
        output: the output folder.
        author: who edits.
        now: the classes after the edits that were there at the last look.
        resolver: resolves edits over the codebook.
        steps: along the codebook's tree.
        sample: masks with their vectors.
        sample_rows: (n,) int64, their rows of the catalogue, -1 for none.
        pictures: draws crops and photos.
        nights: what the last nights changed, the newest last.
        notes: class -> what refits did to it.
        pace: of the review queue.
        skipped: rows that the queue leaves out.
    """

    output: Output
    author: str | None
    now: ClassesNow
    resolver: Resolver
    steps: TreeSteps
    sample: SampleMap
    sample_rows: Int64
    pictures: MaskPictures
    nights: Sequence[Drift]
    notes: dict[int, list[str]]
    pace: Pace = field(default_factory=Pace)
    skipped: set[int] = field(default_factory=set)
    _lock: Any = field(default_factory=threading.RLock)
    _looked: float = 0.0
    _newer: bool = False

    @property
    def tonight(self) -> Drift | None:
        """What the last night changed."""
        return self.nights[-1] if self.nights else None

    def log(self) -> Sequence[Edit]:
        """Return all edits, also those that were made since the last look, here or elsewhere."""
        known = self.now.edits
        return [*known, *read_log(self.output, after=len(known))]

    def refresh(self, found: ResolvedClasses | None = None) -> ClassesNow:
        """Look for edits, and return the classes after them.

        Args:
            found: the classes of the codebook after the newest edit, where they are known.
        """
        with self._lock:
            edits = self.log()
            if len(edits) > len(self.now.edits):
                self.now = self.now.after(self.output, edits, found)
                self.pictures.draw_outlines_of(self.now.found)
            return self.now

    def is_outdated(self) -> bool:
        """Return whether a night has fitted the classes again since this session began."""
        if not self._newer and time.monotonic() - self._looked > _LOOK_S:
            self._newer = self.output.codebook_versions()[-1] != self.now.catalogue.version
            self._looked = time.monotonic()
        return self._newer

    def edit(self, seen: int, act: Callable[[ReviewEditor], Edit]) -> Edit:
        """Make an edit.

        Args:
            seen: number of the newest edit when the page was made on which somebody decided.
            act: calls a verb of the editor.

        Raises:
            ConfigError: it does not apply.
            ConflictError: what it concerns was changed since, or a night has fitted again.
        """
        if self.is_outdated():
            raise ConflictError(
                "a night has fitted the classes again since this page was started; nothing was "
                "written. Stop `samseg review` and start it again"
            )
        with self._lock:
            self.refresh()
            editor = ReviewEditor(self, seen)
            made = act(editor)
            self.refresh(editor.found)
            return made


def open_review(
    output: Output,
    author: str | None,
    cache: Path | None,
    progress: Progress,
) -> Review:
    """Read what the page needs: assignments, edits, the sample, what nights changed.

    Args:
        output: the output folder.
        author: who edits; None for the user of this process.
        cache: folder of pictures; None for one in the user's cache.
        progress: where progress is shown.

    Raises:
        CodebookError: there are no classes yet.
    """
    versions = output.codebook_versions()
    if not versions:
        raise CodebookError(
            f"{redact(output.uri)} has no classes yet; run `samseg cluster -c CONFIG`, or a night"
        )
    version = versions[-1]
    progress.start("read classes", None, "masks")
    catalogue = load_catalogue(output, version)
    now = classes_now(output, catalogue, read_log(output))
    progress.finish(f"{len(catalogue)} masks in {len(now.found.current)} classes")
    codebook = load_codebook(output, version)
    progress.start("read the sample", None, "masks")
    sample = read_sample_map(output, codebook, catalogue.shards)
    progress.finish(f"{len(sample.mask_ids)} masks, {len(sample.shown)} on the map")
    notes: dict[int, list[str]] = {}
    for event in refit_events(output):
        notes.setdefault(event.class_id, []).append(str(event))
    pictures = MaskPictures(output, catalogue, PictureCache(cache or _cache_of(output)))
    pictures.draw_outlines_of(now.found)
    return Review(
        output=output,
        author=author,
        now=now,
        resolver=Resolver(output, version),
        steps=TreeSteps.of(codebook),
        sample=sample,
        sample_rows=_rows(sample, catalogue),
        pictures=pictures,
        nights=last(output, _NIGHTS),
        notes=notes,
    )


def _rows(sample: SampleMap, catalogue: Catalogue) -> Int64:
    """Return the rows of the masks of a sample, -1 for those that the catalogue does not have."""
    found = pc.index_in(pa.array(sample.mask_ids, pa.string()), value_set=catalogue.ids)
    return found.fill_null(-1).to_numpy().astype(np.int64)


def _cache_of(output: Output) -> Path:
    """Return the folder of the pictures of one output folder and recipe."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    text = f"{output.uri}\n{fingerprint(output.recipe() or {})}"
    return root / "samseg" / "review" / hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
