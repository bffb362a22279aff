"""How much each loss of a training run counts."""

from pydantic import Field

from samseg.spec import Spec


class Weights(Spec):
    """Weights of the losses beside that of masks, which is 1.

    Attributes:
        chosen: of the one mask of a click that predicted IoU would choose.
        iou: of predicted IoU.
        kind: of like things' embeddings being alike.
        patches: of patches of one region, or one kind, being alike.
        features: of the distance to a teacher's features.
        likeness: of masks' embeddings being as alike as the ImageNet trunk's are.
    """

    chosen: float = Field(default=0.5, ge=0)
    iou: float = Field(default=1.0, ge=0)
    kind: float = Field(default=0.1, ge=0)
    patches: float = Field(default=1.0, ge=0)
    features: float = Field(default=1.0, ge=0)
    likeness: float = Field(default=0.0, ge=0)
