"""Poolings: reduce the features under a mask to one embedding.

To add one, write a file with a `Spec` that has a `kind` and the method
`pool(features, masks) -> Pooled`, and add it to the union here. The contract test then covers it.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from samseg.pooling.coverage import Coverage
from samseg.pooling.coverage_squared import CoverageSquared
from samseg.pooling.grid import sam_grid
from samseg.pooling.mask_mean import MaskMean
from samseg.types import Bool, Features, Float32, Masks

Pooling = Annotated[Coverage | CoverageSquared | MaskMean, Field(discriminator="kind")]
"""Union of all poolings, discriminated by `kind`."""

_KINDS = {
    "coverage": Coverage,
    "coverage_squared": CoverageSquared,
    "mask_mean": MaskMean,
}


def pool(
    features: Features | Float32,
    masks: Masks | Bool,
    kind: Literal["coverage", "coverage_squared", "mask_mean"] = "coverage",
) -> Float32:
    """Pool the features of one image to one embedding per mask.

    Args:
        features: the features of any network, or (256, 64, 64) float32, SAM's image embedding.
        masks: n masks of that image, or a dense (n, h, w) bool array in px of the original image.
        kind: `coverage` weights each patch by the fraction that the mask covers,
            `coverage_squared` by its square; `mask_mean` averages all patches that contain more
            than one pixel of the mask.

    Returns:
        (n, c) float32, unnormalised; a zero row for a mask that covers no patch.

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
    if not isinstance(features, Features):
        size = masks.size if isinstance(masks, Masks) else (masks.shape[1], masks.shape[2])
        features = Features(np.asarray(features), sam_grid(size))
    return _KINDS[kind]().pool(features, masks).embeddings


__all__ = ["Coverage", "CoverageSquared", "MaskMean", "Pooling", "pool", "sam_grid"]
