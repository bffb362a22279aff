"""Weights of the losses of a training run."""

from pydantic import Field

from samseg.spec import Spec


class Weights(Spec):
    """Weights of the losses relative to the mask loss, which has weight 1.

    Attributes:
        chosen: loss of the mask that predicted IoU would choose for a click.
        iou: loss of predicted IoU.
        kind: contrastive loss of mask embeddings by kind.
        patches: contrastive loss of patches by region, or by kind where it is known.
        features: distance to a teacher's features.
        likeness: difference between the similarities of mask embeddings and those of the ImageNet
            trunk's features.
    """

    chosen: float = Field(default=0.5, ge=0)
    iou: float = Field(default=1.0, ge=0)
    kind: float = Field(default=0.1, ge=0)
    patches: float = Field(default=1.0, ge=0)
    features: float = Field(default=1.0, ge=0)
    likeness: float = Field(default=0.0, ge=0)
