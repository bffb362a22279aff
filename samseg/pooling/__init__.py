"""Poolings: reduce the features under a mask to one embedding.

To add one, write a file with a `Spec` that has a `kind` and the method
`pool(features, masks) -> Pooled`, and add it to the union here. The contract test then covers it.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from samseg.pooling.coverage import Coverage
from samseg.pooling.mask_mean import MaskMean
from samseg.types import Bool, Float32, Masks

Pooling = Annotated[Coverage | MaskMean, Field(discriminator="kind")]
"""Union of all poolings, discriminated by `kind`."""

_KINDS = {"coverage": Coverage, "mask_mean": MaskMean}


def pool(
    features: Float32,
    masks: Masks | Bool,
    kind: Literal["coverage", "mask_mean"] = "coverage",
) -> Float32:
    """Pool SAM's features to one embedding per mask.

    Args:
        features: (256, 64, 64) float32, SAM's image embedding of one image.
        masks: n masks of that image, or a dense (n, h, w) bool array in px of the original image.
        kind: `coverage` weights each patch by the fraction that the mask covers; `mask_mean`
            averages all patches that contain more than one pixel of the mask.

    Returns:
        (n, 256) float32, unnormalised; a zero row for a mask that covers no patch.

    Raises:
        ValueError: `kind` is unknown, or an array has the wrong shape.
    """
    if kind not in _KINDS:
        raise ValueError(f"kind is {kind!r}, wanted one of {sorted(_KINDS)}")
    if not isinstance(masks, Masks):
        masks = np.asarray(masks)
        if masks.ndim != 3:
            raise ValueError(
                f"masks have shape {masks.shape}, wanted (n, h, w); one mask is masks[None]"
            )
    return _KINDS[kind]().pool(features, masks).embeddings


__all__ = ["Coverage", "MaskMean", "Pooling", "pool"]
