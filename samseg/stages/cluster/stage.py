"""The cluster stage: assign new masks to classes, and occasionally refit the classes.

An ordinary night only assigns: it reads the masks of shards without assignments and writes one part
for each. A refit night fits a sample of the whole lake, carries class ids over from the parent
codebook, writes assignments of every shard under the new version, and commits the codebook last, so
that readers switch from one complete set of assignments to the next.

Every object is created once and depends on committed objects alone, so the same command resumes an
interrupted run. If the lake has grown since, a half-written codebook may be out of date; its
version is then skipped. All of it are maps on the engine (`sampling`, `fitting`, `assign`): workers
read and write the tables, the driver holds the codebook and counts. The classes and their ids do
not depend on the number of workers or the order in which they finish.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from samseg.clustering.codebook import Codebook
from samseg.clustering.settings import ClusterSettings
from samseg.engine.local import Local
from samseg.engine.protocol import Engine
from samseg.output import Output
from samseg.stages.class_tally import class_rows
from samseg.stages.cluster.assign import OnProgress, assign
from samseg.stages.cluster.codebook_store import (
    commit_codebook,
    write_codebook,
)
from samseg.stages.cluster.embeddings import Embeddings, open_embeddings
from samseg.stages.cluster.fit_sample import Parent
from samseg.stages.cluster.fitting import FitSpec, fit
from samseg.stages.cluster.succession import newest_codebook, require_no_successor


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """Result of one run of the stage.

    Attributes:
        version: the newest codebook.
        before: the newest one when the run began; None if there was none.
        refitted: whether this run fitted it.
        reason: why it was fitted: `first`, `asked` (on request), `settings` (changed since the last
            fit), `growth`, `no classes` (the last fit found none, and there are more masks) or
            `granularity` (the tree of the last fit is cut elsewhere); empty if nothing was fitted.
        masks: masks that got an assignment, `assigned + noise`: those of the whole lake after a
            refit, otherwise the new ones.
        new_masks: those of shards that had no assignments.
        new_shards: these shards.
        assigned: masks with a class.
        noise: masks without a class.
        invalid: masks with no embedding, or one without a direction; part of `noise`.
        classes: active classes.
        born: classes added by this run.
        retired: classes retired by this run.
        retired_ids: their ids.
        split: classes whose members went to several classes: id -> ids of these.
        remark: what the user should know about the fit; empty if nothing.
        eps: cosine distance within which a mask is assigned; the largest, if classes differ.
        seconds: wall seconds.
        curve: one row per radius evaluated where eps was chosen automatically
            (`samseg.clustering.eps`).
    """

    version: int
    before: int | None
    refitted: bool
    reason: str
    masks: int
    new_masks: int
    new_shards: tuple[str, ...]
    assigned: int
    noise: int
    invalid: int
    classes: int
    born: int
    retired: int
    retired_ids: tuple[int, ...]
    split: dict[int, tuple[int, ...]]
    remark: str
    eps: float
    seconds: float
    curve: tuple[dict[str, Any], ...]

    def counts(self) -> dict[str, Any]:
        """Return what `status.json` has of it."""
        left_out = ("before", "new_shards", "curve")
        return {name: value for name, value in asdict(self).items() if name not in left_out}

    def __str__(self) -> str:
        if self.refitted:
            text = (
                f"codebook v{self.version} fitted ({self.reason}), {self.masks} masks assigned: "
                f"{self.classes} classes, {self.born} of them new, "
            )
        else:
            text = (
                f"{self.masks} new masks assigned to the {self.classes} classes of codebook "
                f"v{self.version}, "
            )
        text += f"{self.noise / self.masks if self.masks else 0:.0%} noise"
        return text + (f", {self.invalid} masks without a usable embedding" if self.invalid else "")

    def notes(self) -> list[str]:
        """Return what became of earlier classes, and what else the user should know of a fit."""
        notes = [self.remark] if self.remark else []
        if not self.classes:
            notes.append(
                "there are no classes: no group of similar masks is large enough (cluster.fit sets "
                "the smallest); a night with more masks fits again"
            )
        if self.retired_ids:
            notes.append(
                f"retired, no class continues them: {', '.join(map(str, self.retired_ids))}"
            )
        return notes + [
            f"class {old} was split into {', '.join(map(str, new))}"
            for old, new in self.split.items()
        ]


def cluster(
    output: Output,
    settings: ClusterSettings,
    *,
    refit: bool = False,
    recipe_fingerprint: str,
    engine: Engine | None = None,
    on_progress: OnProgress | None = None,
) -> ClusterReport:
    """Assign the masks of every committed shard, after a refit if one is due.

    Shards that lack the embedding are left out of assignments, and no fit runs while there are any.

    Args:
        output: the output folder.
        settings: how classes are fitted and when they are refitted. If those of the fit differ from
            the newest codebook's, it is refitted; `samseg.resume` fills what a config leaves open.
        refit: refit now.
        recipe_fingerprint: fingerprint of the embeddings' recipe.
        engine: runs the maps; None for this process.
        on_progress: called with the number of masks assigned so far.

    Raises:
        CodebookError: the newest codebook belongs to another recipe, shards lack the embedding that
            is to be fitted, or another run committed a codebook during the fit.
        StorageError: the output folder cannot be read or written.
    """
    started = time.perf_counter()
    on_progress = on_progress or (lambda done: None)
    engine = engine or Local()
    newest = newest_codebook(output)
    embeddings = open_embeddings(output, settings.embedding, recipe_fingerprint)
    committed = sorted(embeddings.shards())
    parent = _parent(output, newest, recipe_fingerprint)
    assigned = parent.assigned if parent else set()
    unassigned = [shard for shard in committed if shard not in assigned]
    reason, rows = _reason(newest, settings, refit), _Rows()
    if newest is not None and not reason:
        rows = _counted(output, newest, committed, engine)
        reason = _reason_of_growth(newest, settings, rows, embeddings, unassigned, committed)
    if newest is not None and not reason:
        codebook = newest
        counts = assign(codebook, embeddings, unassigned, engine, on_progress, (), rows.new)
    else:
        embeddings.require_all()
        codebook = fit(FitSpec(embeddings, settings, parent, reason), committed, engine)
        require_no_successor(output, newest)
        codebook = _write_at_free_version(output, codebook)
        counts = assign(codebook, embeddings, committed, engine, on_progress, assigned)
        committed_here = commit_codebook(output, codebook)
        require_no_successor(output, codebook if committed_here else newest)
    before = {c.class_id for c in newest.active} if newest else set()
    after = {c.class_id for c in codebook.active}
    return ClusterReport(
        version=codebook.version,
        before=newest.version if newest else None,
        refitted=bool(reason),
        reason=reason,
        masks=counts.masks,
        new_masks=counts.new,
        new_shards=tuple(unassigned),
        assigned=counts.masks - counts.noise,
        noise=counts.noise,
        invalid=counts.invalid,
        classes=len(after),
        born=len(after - before),
        retired=len(before - after),
        retired_ids=tuple(sorted(before - after)),
        split=_split(codebook) if reason else {},
        remark=_remark(newest, codebook) if reason else "",
        eps=codebook.eps,
        seconds=round(time.perf_counter() - started, 3),
        curve=codebook.curve,
    )


def _remark(newest: Codebook | None, codebook: Codebook) -> str:
    """Return the remark of a fit, and whether a radius that is chosen automatically has moved."""
    remarks = [codebook.notes.get("remark", "")]
    if newest is not None and newest.curve and codebook.curve and newest.eps != codebook.eps:
        remarks.append(f"eps: auto moved from {newest.eps:g} to {codebook.eps:g}")
    return "; ".join(filter(None, remarks))


def _parent(output: Output, newest: Codebook | None, sam_recipe: str) -> Parent | None:
    """Return what new classes are aligned with.

    Raises:
        CodebookError: its embeddings are of another recipe than it was fitted to.
    """
    if newest is None:
        return None
    fitted_to = open_embeddings(output, newest.embedding, sam_recipe)
    newest.check(fitted_to.name, fitted_to.recipe)
    return Parent(newest, fitted_to, output.assigned(newest.version))


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is known of the masks that have assignments.

    Attributes:
        masks: those that have an embedding.
        new: rows that the ledger lacks.
    """

    masks: int = 0
    new: pa.Table | None = None


def _counted(output: Output, newest: Codebook, committed: Sequence[str], engine: Engine) -> _Rows:
    sizes = output.sizes("assignments", newest.version)
    sizes = {shard: sizes[shard] for shard in committed if shard in sizes}
    columns = ("masks", "invalid")
    known, new = class_rows(output, newest.version, engine, sizes, columns=columns)
    masks = 0
    for rows in (known, new):
        masks += pc.sum(pc.subtract(rows["masks"], rows["invalid"])).as_py() or 0
    return _Rows(masks, new)


def _reason(newest: Codebook | None, settings: ClusterSettings, refit: bool) -> str:
    """Return the reason for a refit whatever the masks are, as in `ClusterReport.reason`."""
    if newest is None:
        return "first"
    if refit:
        return "asked"
    fitted = ClusterSettings.stored(newest.settings)
    if fitted.of_fit() | {"granularity": None} != settings.of_fit() | {"granularity": None}:
        return "settings"
    return ""


def _reason_of_growth(
    newest: Codebook,
    settings: ClusterSettings,
    rows: _Rows,
    embeddings: Embeddings,
    unassigned: Sequence[str],
    committed: Sequence[str],
) -> str:
    """Return the reason for a refit that the number of masks gives, or the granularity."""
    masks = 0
    if unassigned:  # else nothing has grown
        known = rows.masks if newest.active else 0  # without classes no distance tells them
        left = unassigned if newest.active else committed
        masks = known + sum(embeddings.count(shard) for shard in left)
    if masks > newest.notes["masks"]:
        if masks >= newest.notes["masks"] * settings.refit_growth:
            return "growth"
        if not newest.active:
            return "no classes"
    fitted = ClusterSettings.stored(newest.settings)
    return "granularity" if fitted.granularity != settings.granularity else ""


def _split(codebook: Codebook) -> dict[int, tuple[int, ...]]:
    split = codebook.notes.get("split", {})
    return {int(old): tuple(new) for old, new in split.items()}


def _write_at_free_version(output: Output, codebook: Codebook) -> Codebook:
    """Write all but the manifest, at the first version without objects of another codebook."""
    while not write_codebook(output, codebook):
        version = codebook.version + 1
        classes = [
            replace(c, born_in=version) if c.born_in == codebook.version else c
            for c in codebook.classes
        ]
        codebook = replace(codebook, version=version, classes=tuple(classes))
    return codebook
