"""What every kind of embedding promises: settings that load a network, and what a network does."""

from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field, field_validator

from samseg.pooling import Coverage, Pooling
from samseg.schema import SAM_COLUMN
from samseg.spec import Spec
from samseg.types import Features, Float32, Pixels

EmbeddingName = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]


class FeatureNetwork(Protocol):
    """A loaded network: dense features of an image, and embeddings from what is pooled of them."""

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        ...

    def encode(self, pixels: Pixels) -> Features:
        """Return the features of one image, (h, w, 3) uint8 RGB.

        An image that the network cannot represent has features that are not finite.
        """
        ...

    def embed(self, pooled: Float32) -> Float32:
        """Turn (n, c) pooled features into (n, dimension) embeddings."""
        ...


class EmbeddingSpec(Spec):
    """One named embedding: an item of `embeddings` in a config.

    Each kind adds `kind` and its own settings, names those in `PLACES` that only say where weights
    are, and implements `digests` and `load`.

    Attributes:
        name: names the embedding's table, `embeddings/{name}/`, and what `cluster.embedding` and
            `nearest(..., embedding := ...)` refer to.
        pooling: how the features under a mask become one vector.
    """

    PLACES: ClassVar[frozenset[str]] = frozenset()

    name: EmbeddingName
    pooling: Pooling = Coverage()

    @field_validator("name")
    @classmethod
    def _not_the_column(cls, name: str) -> str:
        if name == SAM_COLUMN:
            raise ValueError(
                "`sam` is the column `embedding` of `masks`, which every folder has; "
                "choose another name, such as `sam_mean`"
            )
        return name

    def settings(self) -> dict[str, Any]:
        """Return the settings that determine the vectors: neither names nor places of weights."""
        return self.model_dump(mode="json", exclude={"name", *self.PLACES})

    def recipe(self) -> dict[str, Any]:
        """Return everything that determines the vectors, weights by their digest.

        Raises:
            CheckpointError: the weights cannot be identified.
        """
        return self.settings() | self.digests()

    def digests(self) -> dict[str, str]:
        """Return the sha256 of the weights (`weights_sha256`), and of what else is read.

        Raises:
            CheckpointError: they cannot be identified.
        """
        raise NotImplementedError

    def notice(self) -> str | None:
        """Return what a user should know of the weights, such as their licence; None for ours."""
        return None

    def load(self, device: Literal["cpu", "cuda"]) -> FeatureNetwork:
        """Load the network, in a worker; PyTorch's threads are the caller's to set.

        Raises:
            CheckpointError: the weights are missing, or not those of the recipe.
        """
        raise NotImplementedError
