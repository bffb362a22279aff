"""Similarity of masks according to the ImageNet trunk, as a training target.

Classes are clusters of features pooled under masks. The trunk's features separate kinds of objects
far better than features learned from segmentation alone, so the model is trained to reproduce the
pairwise similarities of the trunk's pooled features (relational distillation: Park et al.,
"Relational Knowledge Distillation", 2019; Tung and Mori, "Similarity-Preserving Knowledge
Distillation", 2019). Only similarities are compared, so the model needs no projection layer.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from samseg.backbones import efficientnet_lite0
from samseg.lab.pretraining.losses import pooled

_MAPS = slice(2, 4)
"""The maps at strides 16 and 32, which separate kinds best."""


class TrunkLikeness(nn.Module):
    """The trunk with its published weights, frozen."""

    def __init__(self) -> None:
        """Load the trunk."""
        super().__init__()
        self._trunk = efficientnet_lite0.load().requires_grad_(False)
        efficientnet_lite0.fold(self._trunk)

    @torch.no_grad()
    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Pool the trunk's features under masks.

        Args:
            images: (b, 3, s / 2, s / 2) uint8.
            targets: (b, k, s / 4, s / 4) in [0, 1].

        Returns:
            (b, k, 304): the features of the two maps, each l2-normalised.
        """
        x = (images.float() - efficientnet_lite0.MEAN) / efficientnet_lite0.STD
        maps = self._trunk(x.contiguous(memory_format=torch.channels_last))[_MAPS]
        return torch.cat(
            [functional.normalize(pooled(m.float(), targets), dim=2) for m in maps], dim=2
        )


def likeness_loss(embeddings: Tensor, features: Tensor) -> Tensor:
    """Compare the pairwise similarities of embeddings with those of features.

    Args:
        embeddings: (n, d).
        features: (n, e), without gradient.

    Returns:
        The mean squared difference of their cosine similarities after centring.
    """
    return functional.mse_loss(_similarities(embeddings), _similarities(features))


def _similarities(vectors: Tensor) -> Tensor:
    centred = functional.normalize(vectors - vectors.mean(0), dim=1)
    return centred @ centred.T
