"""The masks that a person chose for a class by example, with their vectors."""

from collections.abc import Sequence

from samseg.edits.edit import ExampleMask
from samseg.errors import ConfigError
from samseg.output import Output
from samseg.stages.edits.masks import located
from samseg.stages.edits.splitting import vectors_by_mask

ChosenMasks = Sequence[str | ExampleMask]
"""Masks: ids of masks of the folder, or masks with their vectors."""


def chosen(
    output: Output, embedding: str, accepted: ChosenMasks, rejected: ChosenMasks
) -> tuple[tuple[ExampleMask, ...], tuple[ExampleMask, ...]]:
    """Look up the vectors of accepted and rejected masks.

    Args:
        output: the output folder.
        embedding: name of the embedding.
        accepted: masks of a class.
        rejected: masks that are not of it.

    Raises:
        ConfigError: there is no mask, one does not exist or has no embedding, or one is both.
    """
    if not accepted and not rejected:
        raise ConfigError("no mask is accepted or rejected; wanted at least one")
    sides = (tuple(dict.fromkeys(accepted)), tuple(dict.fromkeys(rejected)))
    ids = [mask for side in sides for mask in side if isinstance(mask, str)]
    if twice := next((mask for mask in ids if ids.count(mask) > 1), None):
        raise ConfigError(f"mask {twice!r} is both accepted and rejected; choose one")
    vectors = vectors_by_mask(output, embedding, located(output, ids)) if ids else {}
    if lacking := next((mask for mask in ids if mask not in vectors), None):
        raise ConfigError(
            f"mask {lacking!r} has no embedding {embedding!r}, so nothing can be compared with it; "
            "choose another one, or `move` it"
        )

    def known(mask: str | ExampleMask) -> ExampleMask:
        if isinstance(mask, ExampleMask):
            return mask
        return ExampleMask(mask_id=mask, vector=tuple(vectors[mask].astype(float).tolist()))

    accepted_masks, rejected_masks = (tuple(map(known, side)) for side in sides)
    return accepted_masks, rejected_masks
