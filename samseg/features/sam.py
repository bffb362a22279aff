"""Embeddings from SAM's image encoder, under another name than the column of `masks`.

For another pooling of SAM's features, or those of another checkpoint than the one that makes the
masks. The encoder runs once more for it, also where it is the one that makes the masks.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from samseg.features.network import EmbeddingName, EmbeddingSpec, FeatureNetwork
from samseg.location import Location
from samseg.pooling import sam_grid
from samseg.sam.settings import ModelSpec, Precision
from samseg.types import Features, Float32, Pixels

if TYPE_CHECKING:
    from samseg.sam.network.encoder import ImageEncoder


class SamEmbedding(EmbeddingSpec):
    """SAM's image embedding, pooled and stored raw.

    Attributes:
        checkpoint: `tiny`, `vit_b`, `vit_l`, `vit_h`, a path or a URL.
        sha256: digest that a path or URL must have.
        precision: of the large matrix products.
    """

    PLACES: ClassVar[frozenset[str]] = frozenset({"checkpoint", "sha256"})

    kind: Literal["sam"] = "sam"
    name: EmbeddingName = "sam_encoder"
    checkpoint: Location = "tiny"
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    precision: Precision = "float32"

    def digests(self) -> dict[str, str]:
        """See `EmbeddingSpec.digests`."""
        from samseg.sam.weights.registry import identify

        return {"weights_sha256": identify(self._model()).sha256}

    def load(self, device: Literal["cpu", "cuda"]) -> FeatureNetwork:
        """See `EmbeddingSpec.load`."""
        from samseg.sam.segmenter import Segmenter

        segmenter = Segmenter.load(self._model(), device=device)
        return SamNetwork(segmenter.runtime.encoder)

    def _model(self) -> ModelSpec:
        return ModelSpec(checkpoint=self.checkpoint, sha256=self.sha256, precision=self.precision)


@dataclass(frozen=True, slots=True, eq=False)
class SamNetwork:
    """SAM's image encoder; see `FeatureNetwork`."""

    encoder: "ImageEncoder"
    dimension: int = 256

    def encode(self, pixels: Pixels) -> Features:
        """Return SAM's image embedding."""
        features = self.encoder.encode(pixels).features[0].cpu().numpy()
        return Features(features, sam_grid((pixels.shape[0], pixels.shape[1])))

    def embed(self, pooled: Float32) -> Float32:
        """Return the pooled features as they are."""
        return pooled
