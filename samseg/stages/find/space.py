"""What masks are compared in: the embedding of the newest codebook, by its transform."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.clustering.codebook import Codebook
from samseg.clustering.transform import Transform
from samseg.edits.evidence import Evidence
from samseg.errors import ConfigError
from samseg.output import Output
from samseg.schema import SAM_COLUMN
from samseg.stages.cluster.codebook_store import load_codebook
from samseg.stages.edits.example_region import example_direction


@dataclass(frozen=True, slots=True, eq=False)
class SearchSpace:
    """An embedding with a transform of its vectors.

    Attributes:
        embedding: name of the embedding.
        codebook: the newest one; None before the first, where raw vectors are compared.
    """

    embedding: str
    codebook: Codebook | None

    @classmethod
    def of(cls, output: Output) -> "SearchSpace":
        """Read that of a folder."""
        if output.codebook_versions():
            codebook = load_codebook(output)
            return cls(codebook.embedding, codebook)
        return cls(next(iter(output.embeddings()), SAM_COLUMN), None)

    @property
    def version(self) -> int | None:
        """Version of the codebook."""
        return None if self.codebook is None else self.codebook.version

    def transform(self, dimension: int) -> Transform:
        """Return the transform of vectors of a length."""
        return Transform(np.zeros(dimension)) if self.codebook is None else self.codebook.transform

    def direction(self, examples: Evidence) -> NDArray[np.float64]:
        """Return the direction of examples, (d,) float64, unit length.

        Raises:
            ConfigError: they have none.
        """
        accepted, rejected = examples.vectors
        if len(accepted):
            transform = self.transform(accepted.shape[1])
            direction = example_direction(transform, accepted, rejected)
            if direction is not None:
                return direction
        raise ConfigError(
            f"the example has no direction in the embedding {self.embedding!r}, so nothing is "
            "nearer to it than anything else; choose another mask, or a larger box"
        )
