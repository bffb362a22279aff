"""The default pooling: each patch counts by how much of it the mask covers.

A small mask is dominated by the patches it fills, not by the many it merely touches, and nothing
of the padding enters. Use `mask_mean` instead to reproduce embeddings of the notebook that this
method comes from.
"""

from typing import Literal

from samseg.pooling.grid import patch_coverage
from samseg.pooling.mean import weighted_mean
from samseg.spec import Spec
from samseg.types import Bool, Float32, Masks, Pooled


class Coverage(Spec):
    """Mean of the patches under a mask, weighted by the fraction of each that it covers."""

    kind: Literal["coverage"] = "coverage"

    def pool(self, features: Float32, masks: Masks | Bool) -> Pooled:
        """Return one embedding per mask.

        Args:
            features: (256, 64, 64) float32, SAM's image embedding.
            masks: n masks, or a dense (n, h, w) bool array. A mask without pixels is `empty`.
        """
        covered = patch_coverage(masks)
        return weighted_mean(features, covered, covered)
