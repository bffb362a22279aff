"""What a person should know of a night: results that look like success and are not.

Each function returns a message with what to do next, or None where there is nothing to say.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from samseg.exporters.types import Written
from samseg.output import Output
from samseg.readers import by_extension
from samseg.sam.settings import MaskSettings
from samseg.sam.thresholds import explain_no_masks
from samseg.stages.cluster.stage import ClusterReport
from samseg.stages.describe.stage import undescribed
from samseg.stages.embed.totals import EmbedTotals
from samseg.types import RETRIED_ONCE

_MOSTLY_NOISE = 0.5


def left_out(counts: Mapping[str, int]) -> str | None:
    """Name the files of the lake that are not read, by extension."""
    if not counts:
        return None
    return f"{by_extension(counts)} left out; `reader.include` lists the types that are read"


def skipped(count: int, first: Mapping[str, str]) -> str | None:
    """Name what cannot be listed or addressed in the lake.

    Args:
        count: of objects and folders.
        first: the reasons for some of them.
    """
    if not count:
        return None
    named = "; ".join(f"{key!r}: {reason}" for key, reason in first.items())
    more = f"; and {count - len(first)} more" if count > len(first) else ""
    return (
        f"{count} objects or folders of the lake cannot be read, so they are not planned "
        f"({named}{more}). Fix them, or leave them out with `reader.exclude`."
    )


def changed(objects: int) -> str | None:
    """Return what to say of objects that differ from their planned version."""
    if not objects:
        return None
    return (
        f"{objects} objects changed since they were planned. Failed images are labelled again; the "
        "rows of labelled ones are kept: to label these again, write to a new output folder."
    )


def lacking(output: Output, names: Sequence[str]) -> str | None:
    """Count the committed shards that lack one of these embeddings."""
    shards = undescribed(output, tuple(names))
    if not shards:
        return None
    return (
        f"{len(shards)} committed shards lack an embedding of {', '.join(names)}; "
        "`samseg describe -c CONFIG` adds it"
    )


def failed(done: EmbedTotals) -> str:
    """Return what becomes of the images that failed in a night."""
    again = sum(done.statuses[status] for status in RETRIED_ONCE)
    text = "Failed images have a row with their error; all others are labelled. "
    if again:
        text += f"The next night tries {again} of them once more; "
    return text + ("`" if again else "A night with `") + "--retry-failed STATUS` tries any again."


def no_masks(
    output: Output,
    done: EmbedTotals,
    checkpoint: str,
    masks: MaskSettings,
    recommended: Mapping[str, Any],
) -> str | None:
    """Explain why no image of a folder has a mask.

    Args:
        output: the output folder.
        done: what the embed stage did.
        checkpoint: name of the checkpoint.
        masks: the settings that were used.
        recommended: settings that the checkpoint recommends, by name.
    """
    labelled = done.images - done.failed
    if done.masks or not labelled or _any_masks(output):
        return None
    why = explain_no_masks(checkpoint, masks, recommended)
    return (
        f"None of {labelled} images has a mask: {why}. A folder has one recipe, so use a new "
        "output folder."
    )


def mostly_noise(clustered: ClusterReport) -> str | None:
    """Explain why most masks of a night have no class."""
    if not clustered.classes or clustered.noise <= _MOSTLY_NOISE * clustered.masks:
        return None
    share = f"{clustered.noise / clustered.masks:.0%} of the masks are noise"
    if clustered.refitted:
        return (
            f"{share}: few of them are similar to others. Lower masks per class "
            "(`min_size` or `min_samples` of cluster.fit) or another embedding may help"
        )
    return f"{share}: they are unlike the classes so far. `--refit` fits the classes again"


def earlier_names(written: Sequence[Written]) -> str | None:
    """Say how many shards of exports carry names from before the newest edits."""
    shards = max((w.earlier for w in written), default=0)
    if not shards:
        return None
    return (
        f"{shards} shards of exports were written before the newest edits of classes and carry "
        "earlier names; `samseg export -c CONFIG --all` writes the whole lake with those of now"
    )


def _any_masks(output: Output) -> bool:
    return any(
        pc.any(pc.greater(output.read(output.images_key(shard), ["masks"])["masks"], 0)).as_py()
        for shard in output.committed()
    )
