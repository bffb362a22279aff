"""Masks with categories, and what is compared on them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from samseg.lab.evaluation.classes.labelled_masks import LabelledMasks
from samseg.lab.evaluation.classes.rows import Row
from samseg.types import Pixels


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """Masks with categories, and what is compared on them.

    Attributes:
        name: of the set, or address of the output folder.
        kind: where the masks come from.
        masks: the masks.
        rows: what is compared.
        pixels: reads a photo by its name.
        merged: groups of categories that count as one.
        missing: photos of the labels that the output folder lacks.
    """

    name: str
    kind: Literal["true segments", "automatic masks"]
    masks: LabelledMasks
    rows: tuple[Row, ...]
    pixels: Callable[[str], Pixels]
    merged: tuple[tuple[str, ...], ...] = ()
    missing: tuple[str, ...] = ()
