"""The result of a search: the nearest masks, and the class that the example was kept as."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from samseg.finding.prompted import PromptedObject
from samseg.output import Output
from samseg.stages.report.exemplars import ShownMask

_COLUMNS = pa.schema(
    [
        ("mask_id", pa.string()),
        ("distance", pa.float64()),
        ("class_id", pa.int32()),
        ("name", pa.string()),
        ("key", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class KeptClass:
    """A class by example.

    Attributes:
        class_id: its id.
        name: its name.
        edit: number of the edit of this search; None if it changed nothing.
        accepted: number of its examples, those of photos elsewhere included.
        rejected: number of masks that were rejected.
        masks: number of its masks.
        radius: cosine distance to the direction of the examples within which masks are of it; None
            if nothing says what is like them under this codebook.
    """

    class_id: int
    name: str
    edit: int | None
    accepted: int
    rejected: int
    masks: int
    radius: float | None


@dataclass(frozen=True, slots=True, eq=False)
class FoundMasks:
    """The masks nearest to an example.

    Attributes:
        output: the output folder.
        embedding: name of the embedding that was compared.
        codebook: version of the codebook whose transform was used; None for raw embeddings.
        prompted: the object of a photo, if the example is one.
        accepted: the masks of the lake that are examples.
        rejected: those that are not.
        masks: the nearest other masks, nearest first; one of near-identical outlines.
        distances: of each, cosine distance to the mean of the examples.
        names: of each, what its class is called; "" where there are no classes.
        kept: the class by example, if one was named.
    """

    output: Output
    embedding: str
    codebook: int | None
    prompted: PromptedObject | None
    accepted: Sequence[ShownMask]
    rejected: Sequence[ShownMask]
    masks: Sequence[ShownMask]
    distances: Sequence[float]
    names: Sequence[str]
    kept: KeptClass | None

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def compared(self) -> str:
        """What the distances are of, in words."""
        if self.codebook is None:
            return f"cosine distances of the embedding {self.embedding}; there are no classes yet"
        return f"cosine distances of the embedding {self.embedding} under codebook v{self.codebook}"

    def to_arrow(self) -> pa.Table:
        """Return `mask_id`, `distance`, `class_id`, `name` (of the class) and `key` (of the photo).

        Both columns of the class are null where there are no classes.
        """
        rows = [
            (mask.mask_id, distance, mask.class_id, name or None, mask.key)
            for mask, distance, name in zip(self.masks, self.distances, self.names, strict=True)
        ]
        columns = zip(*rows, strict=True) if rows else ([] for _ in _COLUMNS)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, _COLUMNS, strict=True)]
        return pa.table(arrays, schema=_COLUMNS)
