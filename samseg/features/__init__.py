"""Named embeddings: other networks' features, pooled under the same masks as SAM's.

To add a kind, write a file with an `EmbeddingSpec` that has a `kind`, `digests()` (of its weights)
and `load(device)`, which returns a network with `encode(pixels) -> Features` and
`embed(pooled) -> embeddings`; add it to the union here. The contract test then covers it.
"""

from typing import Annotated

from pydantic import Field

from samseg.features.efficientnet_lite0 import EfficientNetLite0Embedding
from samseg.features.embedder import Embedder, MaskEmbeddings
from samseg.features.network import EmbeddingSpec, FeatureNetwork
from samseg.features.sam import SamEmbedding
from samseg.features.timm import TimmEmbedding

NamedEmbedding = Annotated[
    EfficientNetLite0Embedding | SamEmbedding | TimmEmbedding, Field(discriminator="kind")
]
"""Union of all kinds of embeddings, discriminated by `kind`."""

__all__ = [
    "EfficientNetLite0Embedding",
    "Embedder",
    "EmbeddingSpec",
    "FeatureNetwork",
    "MaskEmbeddings",
    "NamedEmbedding",
    "SamEmbedding",
    "TimmEmbedding",
]
