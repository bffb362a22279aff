"""The cluster stage: assign new masks to classes, and now and then find the classes anew.

An ordinary night only assigns: it reads the masks of shards that have no assignments yet and
writes one part for each. A refit night fits a reference of masks from the whole lake, carries class
ids over from the codebook before, writes assignments for every shard under the new version, and
commits that codebook last: readers change over from one complete set of assignments to the next.

Every object is created once and follows from what is committed, so a night that was killed is
finished by the same command. If the lake grew in between, a half-written codebook may no longer be
the one to write; it is then passed over and the next version taken. Masks are read one shard at a
time; only the reference is held.
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
    """What one night did.

    Attributes:
        version: the codebook that is now the newest.
        refitted: whether this night fitted it.
        reason: why: `first`, `asked`, `settings` (they differ from the last fit's) or `growth`;
            empty when nothing was fitted.
        masks: masks given an assignment, `assigned + noise`: all of the lake on a refit night, the
            new ones on any other.
        new_masks: those that had none before.
        assigned: masks with a class.
        noise: masks without.
        invalid: masks without an embedding that has a direction; part of `noise`.
        classes: active classes.
        born: classes that are new tonight.
        retired: classes that ended tonight.
        eps: cosine distance within which a mask is assigned.
        seconds: wall seconds.
        curve: one row per radius tried when eps was chosen (`samseg.clustering.eps`).
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
    """Bring the classes of every committed shard up to date.

    Args:
        output: the folder.
        settings: how classes are found, and when anew.
        refit: find them anew now.
        recipe_fingerprint: names the recipe of the embeddings.
        on_progress: called with the number of masks assigned so far.

    Raises:
        CodebookError: the newest codebook belongs to another recipe, or another run committed a
            codebook while this one was fitting.
        StorageError: the output folder cannot be read or written.
    """
    began = time.perf_counter()
    committed = sorted(output.committed())
    stored = _stored_bytes(output, committed)
    versions = output.codebook_versions()
    parent = load_codebook(output, recipe_fingerprint, versions[-1]) if versions else None
    reason = _reason(parent, settings, refit, stored)
    assigned = output.assigned(parent.version) if parent else set()
    report = on_progress or (lambda done: None)
    if parent is not None and not reason:
        codebook = parent
        tally = _assign(output, codebook, [s for s in committed if s not in assigned], report)
    else:
        reference, masks = read_fit_sample(output, committed, settings.reference, parent, assigned)
        notes = {"masks": masks, "masks_bytes": stored}
        version = parent.version + 1 if parent else 1
        codebook = build(reference, settings, parent, version, recipe_fingerprint, notes)
        codebook = _place(output, codebook)
        tally = _assign(output, codebook, committed, report, assigned)
        _commit(output, codebook)
    before = {c.class_id for c in parent.active} if parent else set()
    after = {c.class_id for c in codebook.active}
    return ClusterReport(
        version=codebook.version,
        refitted=bool(reason),
        reason=reason,
        masks=tally.masks,
        new_masks=tally.new,
        assigned=tally.masks - tally.noise,
        noise=tally.noise,
        invalid=tally.invalid,
        classes=len(after),
        born=len(after - before),
        retired=len(before - after),
        eps=codebook.eps,
        seconds=round(time.perf_counter() - began, 3),
        curve=codebook.curve,
    )


def _stored_bytes(output: Output, shards: Iterable[str]) -> int:
    """Return the size of the shards' masks parts: one LIST says how much the lake has grown."""
    wanted = {output.masks_key(shard) for shard in shards}
    return sum(source.bytes for source in output.storage.list("masks/") if source.key in wanted)


def _reason(parent: Codebook | None, settings: ClusterSettings, refit: bool, stored: int) -> str:
    if parent is None:
        return "first"
    if refit:
        return "asked"
    if parent.settings != settings.of_fit():
        return "settings"
    fitted = parent.notes["masks_bytes"]
    return "growth" if stored > fitted and stored >= fitted * settings.refit_growth else ""


# --------------------------------------------------------------------------- fitting


def _place(output: Output, codebook: Codebook) -> Codebook:
    """Write all but the manifest, at the first version where nothing else stands."""
    while not write_codebook(output, codebook):
        version = codebook.version + 1
        moved = [
            replace(c, born_in=version) if c.born_in == codebook.version else c
            for c in codebook.classes
        ]
        codebook = replace(codebook, version=version, classes=tuple(moved))
    return codebook


def _commit(output: Output, codebook: Codebook) -> None:
    newest = max(output.codebook_versions(), default=None)
    if newest not in (codebook.parent, codebook.version) or not commit_codebook(output, codebook):
        raise CodebookError(
            f"another run committed codebook v{newest} to {output.uri} while v{codebook.version} "
            f"was being fitted to follow {codebook.parent}; run `samseg cluster` again"
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
    """Write the assignments of `shards`; those in `known` had some under the codebook before."""
    tally, known = _AssignCounts(), set(known)
    for shard in shards:
        part = output.read(output.masks_key(shard), ["mask_id", "embedding"])
        table, invalid = _assignments(codebook, part)
        key = output.assignments_key(codebook.version, shard)
        output.storage.put_new(key, schema.encode(table))
        tally.masks += table.num_rows
        tally.new += 0 if shard in known else table.num_rows
        tally.noise += int((table["class_id"].to_numpy() == NOISE).sum())
        tally.invalid += invalid
        on_progress(tally.masks)
    return tally


def _assignments(codebook: Codebook, part: pa.Table) -> tuple[pa.Table, int]:
    """Return the assignments of one masks part, row for row, and how many had no direction."""
    pooled = part["embedding"].is_valid().to_numpy()
    found = codebook.assign(schema.matrix_of(part["embedding"].filter(pa.array(pooled))))
    class_ids = np.full(part.num_rows, NOISE, np.int32)
    class_ids[pooled] = found.class_ids
    columns = [
        part["mask_id"],
        pa.array(class_ids),
        _scatter(found.distances, pooled),
        _scatter(found.margins, pooled),
        pa.array(np.full(part.num_rows, codebook.version, np.int32)),
    ]
    return pa.table(columns, schema=schema.ASSIGNMENTS), part.num_rows - int(found.valid.sum())


def _scatter(values: Float32, where: Any) -> pa.Array:
    """Spread values over the rows they belong to; null elsewhere and where NaN."""
    full = np.full(len(where), np.nan, np.float32)
    full[where] = values
    return pa.array(full, from_pandas=True)
