"""Keeps an example as a class, with its members in all shards that have classes."""

from collections.abc import Sequence

from samseg.clustering.codebook import Codebook
from samseg.edits.edit import Edit, ExampleMask
from samseg.edits.evidence import Evidence
from samseg.edits.log import read_log
from samseg.edits.replay import replay
from samseg.engine.protocol import Engine
from samseg.errors import ConfigError
from samseg.finding.example import Wanted
from samseg.finding.found import KeptClass
from samseg.output import Output
from samseg.stages.edits.editor import ClassEditor
from samseg.stages.edits.listing import mask_counts
from samseg.stages.edits.lookup import labelled, name_in_use, quoted
from samseg.stages.edits.members import region_under
from samseg.stages.edits.resolution import resolved
from samseg.stages.edits.upkeep import keep_up


def keep(
    output: Output,
    codebook: Codebook,
    wanted: Wanted,
    accepted: Sequence[str | ExampleMask],
    author: str | None,
    reason: str,
) -> Edit | None:
    """Make a class of an example, or refine the one that has the name.

    Args:
        output: the output folder.
        codebook: the newest one.
        wanted: the name, and the rejected masks.
        accepted: the examples.
        author: who does it.
        reason: why.

    Returns:
        The edit; None if the class is there and there is nothing to add.

    Raises:
        ConfigError: the name is that of a class that is not defined by examples, or there is
            neither a class nor an example.
    """
    name, rejected = wanted.name or "", wanted.rejected
    known = name_in_use(resolved(output, codebook.version), name)
    editor = ClassEditor(output)
    if known is not None:
        if not accepted and not rejected:
            return None
        return editor.refine(known, accepted, rejected, author, reason)
    if not accepted:
        raise ConfigError(
            f"there is no class {quoted(name)} yet, and no example to make it of; give a PHOTO "
            "with --box or --point, or --mask MASK"
        )
    return editor.example(name, codebook.embedding, accepted, rejected, author, reason)


def class_of_name(
    output: Output, codebook: Codebook, name: str, edit: Edit | None, engine: Engine
) -> tuple[Evidence, KeptClass]:
    """Write the members of a class by example, and return what it is.

    Args:
        output: the output folder.
        codebook: the newest one.
        name: of the class.
        edit: that has just made or refined it; None for none.
        engine: runs the map.

    Raises:
        ConfigError: the class is not defined by examples.
    """
    keep_up(output, codebook.version, engine)
    state, found = replay(read_log(output)), resolved(output, codebook.version)
    class_id = name_in_use(found, name)
    if class_id is None or class_id not in state.chosen:
        what = quoted(name) if class_id is None else labelled(found, class_id)
        raise ConfigError(
            f"{what} is not a class by example; give another name, or search for one of its masks "
            "with --mask"
        )
    evidence = Evidence.of(state.chosen[class_id], codebook.embedding)
    taken = region_under(codebook, evidence)
    kept = KeptClass(
        class_id=class_id,
        name=found.name(class_id),
        edit=None if edit is None else edit.number,
        accepted=len(evidence.accepted),
        rejected=len(evidence.rejected),
        masks=mask_counts(output, codebook.version, found)[class_id],
        radius=None if taken is None else taken.region.radius,
    )
    return evidence, kept
