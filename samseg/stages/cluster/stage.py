"""The cluster stage: assign new masks to classes, and occasionally refit the classes.

An ordinary night only assigns: it reads the masks of shards without assignments and writes one part
for each. A refit night fits a sample of the whole lake, carries class ids over from the parent
codebook, writes assignments of every shard under the new version, and commits the codebook last, so
that readers switch from one complete set of assignments to the next.

Every object is created once and depends on committed objects alone, so the same command resumes an
interrupted run. If the lake has grown since, a half-written codebook may be out of date; its
version is then skipped. Masks are read one shard at a time; only the fit sample is held in memory.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from samseg import schema
from samseg.clustering.build import build
from samseg.clustering.codebook import Codebook
from samseg.clustering.settings import ClusterSettings
from samseg.errors import CodebookError
from samseg.output import Output
from samseg.stages.cluster.codebook_store import commit_codebook, load_codebook, write_codebook
from samseg.stages.cluster.fit_sample import read_fit_sample
from samseg.types import NOISE, Float32

OnProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """Result of one run of the stage.

    Attributes:
        version: the newest codebook.
        refitted: whether this run fitted it.
        reason: why it was fitted: `first`, `asked` (on request), `settings` (changed since the last
            fit) or `growth`; empty if nothing was fitted.
        masks: masks that got an assignment, `assigned + noise`: those of the whole lake after a
            refit, otherwise the new ones.
        new_masks: those of shards that had no assignments.
        assigned: masks with a class.
        noise: masks without a class.
        invalid: masks with no embedding, or one without a direction; part of `noise`.
        classes: active classes.
        born: classes added by this run.
        retired: classes retired by this run.
        eps: cosine distance within which a mask is assigned.
        seconds: wall seconds.
        curve: one row per radius evaluated where eps was chosen automatically
            (`samseg.clustering.eps`).
    """

    version: int
    refitted: bool
    reason: str
    masks: int
    new_masks: int
    assigned: int
    noise: int
    invalid: int
    classes: int
    born: int
    retired: int
    eps: float
    seconds: float
    curve: tuple[dict[str, Any], ...]


def cluster(
    output: Output,
    settings: ClusterSettings,
    *,
    refit: bool = False,
    recipe_fingerprint: str,
    on_progress: OnProgress | None = None,
) -> ClusterReport:
    """Assign the masks of every committed shard, after a refit if one is due.

    Args:
        output: the output folder.
        settings: how classes are fitted and when they are refitted.
        refit: refit now.
        recipe_fingerprint: fingerprint of the embeddings' recipe.
        on_progress: called with the number of masks assigned so far.

    Raises:
        CodebookError: the newest codebook belongs to another recipe, or another run committed a
            codebook during the fit.
        StorageError: the output folder cannot be read or written.
    """
    started = time.perf_counter()
    committed = sorted(output.committed())
    stored = _stored_bytes(output, committed)
    versions = output.codebook_versions()
    parent = load_codebook(output, recipe_fingerprint, versions[-1]) if versions else None
    reason = _reason(parent, settings, refit, stored)
    assigned = output.assigned(parent.version) if parent else set()
    on_progress = on_progress or (lambda done: None)
    if parent is not None and not reason:
        codebook = parent
        unassigned = [shard for shard in committed if shard not in assigned]
        counts = _assign(output, codebook, unassigned, on_progress)
    else:
        sample, masks = read_fit_sample(output, committed, settings.reference, parent, assigned)
        notes = {"masks": masks, "masks_bytes": stored}
        version = parent.version + 1 if parent else 1
        codebook = build(sample, settings, parent, version, recipe_fingerprint, notes)
        codebook = _write_at_free_version(output, codebook)
        counts = _assign(output, codebook, committed, on_progress, assigned)
        _commit(output, codebook)
    before = {c.class_id for c in parent.active} if parent else set()
    after = {c.class_id for c in codebook.active}
    return ClusterReport(
        version=codebook.version,
        refitted=bool(reason),
        reason=reason,
        masks=counts.masks,
        new_masks=counts.new,
        assigned=counts.masks - counts.noise,
        noise=counts.noise,
        invalid=counts.invalid,
        classes=len(after),
        born=len(after - before),
        retired=len(before - after),
        eps=codebook.eps,
        seconds=round(time.perf_counter() - started, 3),
        curve=codebook.curve,
    )


def _stored_bytes(output: Output, shards: Iterable[str]) -> int:
    """Return the total size of the shards' masks parts: one LIST, the measure of growth."""
    wanted = {output.masks_key(shard) for shard in shards}
    return sum(source.bytes for source in output.storage.list("masks/") if source.key in wanted)


def _reason(parent: Codebook | None, settings: ClusterSettings, refit: bool, stored: int) -> str:
    """Return the reason for a refit as in `ClusterReport.reason`."""
    if parent is None:
        return "first"
    if refit:
        return "asked"
    if parent.settings != settings.of_fit():
        return "settings"
    fitted = parent.notes["masks_bytes"]
    return "growth" if stored > fitted and stored >= fitted * settings.refit_growth else ""


# --------------------------------------------------------------------------- fitting


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


def _commit(output: Output, codebook: Codebook) -> None:
    newest = max(output.codebook_versions(), default=None)
    if newest not in (codebook.parent, codebook.version) or not commit_codebook(output, codebook):
        raise CodebookError(
            f"another run committed codebook v{newest} to {output.uri} while v{codebook.version} "
            f"was being fitted with parent {codebook.parent}; run `samseg cluster` again"
        )


# --------------------------------------------------------------------------- assigning


@dataclass(slots=True)
class _AssignCounts:
    masks: int = 0
    new: int = 0
    noise: int = 0
    invalid: int = 0


def _assign(
    output: Output,
    codebook: Codebook,
    shards: list[str],
    on_progress: OnProgress,
    known: Iterable[str] = (),
) -> _AssignCounts:
    """Write the assignments of `shards`; those in `known` had some under the parent codebook."""
    counts, known = _AssignCounts(), set(known)
    for shard in shards:
        part = output.read(output.masks_key(shard), ["mask_id", "embedding"])
        table, invalid = _assignments(codebook, part)
        key = output.assignments_key(codebook.version, shard)
        output.storage.put_new(key, schema.encode(table))
        counts.masks += table.num_rows
        counts.new += 0 if shard in known else table.num_rows
        counts.noise += int((table["class_id"].to_numpy() == NOISE).sum())
        counts.invalid += invalid
        on_progress(counts.masks)
    return counts


def _assignments(codebook: Codebook, part: pa.Table) -> tuple[pa.Table, int]:
    """Return the assignments of one masks part, row for row, and the number of invalid masks."""
    present = part["embedding"].is_valid().to_numpy()
    found = codebook.assign(schema.matrix_of(part["embedding"].filter(pa.array(present))))
    class_ids = np.full(part.num_rows, NOISE, np.int32)
    class_ids[present] = found.class_ids
    columns = [
        part["mask_id"],
        pa.array(class_ids),
        _scatter(found.distances, present),
        _scatter(found.margins, present),
        pa.array(np.full(part.num_rows, codebook.version, np.int32)),
    ]
    return pa.table(columns, schema=schema.ASSIGNMENTS), part.num_rows - int(found.valid.sum())


def _scatter(values: Float32, mask: Any) -> pa.Array:
    """Place values at the rows where `mask` is True; null elsewhere and where NaN."""
    full = np.full(len(mask), np.nan, np.float32)
    full[mask] = values
    return pa.array(full, from_pandas=True)
