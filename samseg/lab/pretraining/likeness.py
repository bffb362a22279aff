"""What the ImageNet trunk says of how alike masks are, as a training target.

Classes of a lake are found from the features that are pooled under masks. The trunk's tell kinds of
things apart far better than those that segmenting alone teaches, so the embeddings of a picture's
masks shall be as alike as the trunk's are (relational distillation: Park et al., "Relational
Knowledge Distillation", 2019; Tung and Mori, "Similarity-Preserving Knowledge Distillation", 2019).
Only similarities are compared: nothing is added to the model, and nothing has to be left out of it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from samseg.backbones import efficientnet_lite0
from samseg.lab.pretraining.losses import pooled

_MAPS = slice(2, 4)
"""The maps at strides 16 and 32: those that tell kinds apart best."""


class TrunkLikeness(nn.Module):
    """The trunk as it was published; it is never trained."""

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
            (b, k, 304), the two maps' features of unit length each.
        """
        x = (images.float() - efficientnet_lite0.MEAN) / efficientnet_lite0.STD
        maps = self._trunk(x.contiguous(memory_format=torch.channels_last))[_MAPS]
        return torch.cat(
            [functional.normalize(pooled(of.float(), targets), dim=2) for of in maps], dim=2
        )


def likeness_loss(embeddings: Tensor, features: Tensor) -> Tensor:
    """Compare how alike masks are with how alike they should be.

    Args:
        embeddings: (n, d).
        features: (n, e), without gradient.

    Returns:
        The mean squared difference of their cosine similarities, both centred on their means.
    """
    return functional.mse_loss(_similarities(embeddings), _similarities(features))


def _similarities(of: Tensor) -> Tensor:
    centred = functional.normalize(of - of.mean(0), dim=1)
    return centred @ centred.T
