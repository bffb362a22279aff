"""One named embedding at work: from an image and its masks to one vector per mask."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from samseg.features.network import EmbeddingSpec, FeatureNetwork
from samseg.pooling import Pooling
from samseg.types import Bool, Float32, Masks, Pixels


@dataclass(frozen=True, slots=True, eq=False)
class MaskEmbeddings:
    """The vectors of n masks.

    Attributes:
        vectors: (n, d) float32; zero where `statuses` is not `ok`.
        statuses: (n,) of `ok`, `empty` (no patch to pool) or `nonfinite`.
    """

    vectors: Float32
    statuses: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Embedder:
    """A loaded network with the pooling of its embedding.

    Attributes:
        name: the embedding's name.
        network: gives features, and vectors from what is pooled of them.
        pooling: pools the features under the masks.
    """

    name: str
    network: FeatureNetwork
    pooling: Pooling

    @classmethod
    def load(cls, spec: EmbeddingSpec, device: Literal["cpu", "cuda"]) -> "Embedder":
        """Load the network of an embedding; see `EmbeddingSpec.load`."""
        return cls(spec.name, spec.load(device), spec.pooling)

    def embed(self, pixels: Pixels, masks: Masks | Bool) -> MaskEmbeddings:
        """Return one vector per mask; the network does not run where there is none.

        Args:
            pixels: (h, w, 3) uint8 RGB.
            masks: n masks of this image, or (n, h, w) bool.
        """
        if not len(masks):
            return MaskEmbeddings(np.zeros((0, self.network.dimension), np.float32), ())
        pooled = self.pooling.pool(self.network.encode(pixels), masks)
        vectors = self.network.embed(pooled.embeddings)
        finite = np.isfinite(vectors).all(axis=1)
        statuses = np.where(pooled.empty, "empty", np.where(finite, "ok", "nonfinite"))
        usable = (statuses == "ok")[:, None]
        return MaskEmbeddings(
            np.where(usable, vectors, 0).astype(np.float32), tuple(statuses.tolist())
        )
