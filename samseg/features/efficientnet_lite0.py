"""Embeddings from EfficientNet-Lite0, the default: small, and shipped in the package.

Its last block of 112 channels (stride 16) tells surfaces and parts apart, its last block of 192
(stride 32) whole things. The part of each is normalised to unit length, and a fixed matrix takes
the 304 numbers to 256. The network learned from ImageNet's labels and stays as it is: the images
of a lake need none.
"""

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from samseg.features.network import EmbeddingName, EmbeddingSpec, FeatureNetwork
from samseg.pooling import CoverageSquared, Pooling
from samseg.types import Float32

PROJECTION = Path(__file__).with_name("efficientnet_lite0_projection.npy")
"""(304, 256) float16: `random_projection()`, kept so that it is the same on every machine."""

_NAME = "efficientnet_lite0"
_FIRST = 2
"""Of the trunk's maps: those of stride 16 and 32."""


class EfficientNetLite0Embedding(EmbeddingSpec):
    """EfficientNet-Lite0's features at strides 16 and 32: (256,) float32.

    Attributes:
        long_side: px that the longer side of an image is scaled to; 1024 sees smaller things at
            3.7 times the cost.
    """

    kind: Literal["efficientnet_lite0"] = "efficientnet_lite0"
    name: EmbeddingName = _NAME
    long_side: Literal[640, 1024] = 640
    pooling: Pooling = CoverageSquared()

    def digests(self) -> dict[str, str]:
        """See `EmbeddingSpec.digests`."""
        weights, projection = _digests()
        return {"weights_sha256": weights, "projection_sha256": projection}

    def load(self, device: Literal["cpu", "cuda"]) -> FeatureNetwork:
        """See `EmbeddingSpec.load`."""
        import torch

        from samseg.backbones import efficientnet_lite0 as backbone
        from samseg.features.dense import DenseNetwork

        trunk = backbone.load()
        backbone.fold(trunk)
        trunk = trunk.to(torch.device(device)).to(memory_format=torch.channels_last)
        return DenseNetwork(
            maps=lambda images: trunk(images)[_FIRST:],
            strides=backbone.STRIDES[_FIRST:],
            channels=backbone.CHANNELS[_FIRST:],
            mean=np.full(3, backbone.MEAN, np.float32),
            std=np.full(3, backbone.STD, np.float32),
            long_side=self.long_side,
            device=torch.device(device),
            projection=projection(),
        )


def projection() -> Float32:
    """Return the fixed matrix, (304, 256) float32."""
    return np.load(PROJECTION).astype(np.float32)


def random_projection() -> Float32:
    """Return a random matrix with orthonormal columns, (304, 256) float32: how the file was made.

    Orthogonal, so angles change little, and random, so no photos are needed to make it. Components
    fitted to photos keep angles better (0.007 instead of 0.024 rms of the cosine) and give classes
    of the same quality. QR decomposition of normal numbers; the signs make it unique.
    """
    normal = np.random.default_rng(0).standard_normal((304, 256))
    q, r = np.linalg.qr(normal)
    return (q * np.sign(np.diag(r))).astype(np.float32)


@cache
def _digests() -> tuple[str, str]:
    """Return the digests of weights and projection; reading them loads no torch."""
    from samseg.sam.weights.digest import sha256_of

    weights = Path(__file__).parents[1] / "backbones" / f"{_NAME}.safetensors"
    return sha256_of(weights), sha256_of(PROJECTION)
