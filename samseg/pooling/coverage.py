"""The default pooling: weight each patch by the fraction that the mask covers.

The embedding of a small mask is dominated by the patches that it fills, not by the many at its
border, and the padding has no weight. To reproduce the embeddings of the notebook that samseg
started from, use `mask_mean`.
"""

from typing import Literal

from samseg.pooling.grid import patch_coverage
from samseg.pooling.mean import weighted_mean
from samseg.spec import Spec
from samseg.types import Bool, Features, Masks, Pooled


class Coverage(Spec):
    """Mean of the patches under a mask, weighted by the covered fraction."""

    kind: Literal["coverage"] = "coverage"

    def pool(self, features: Features, masks: Masks | Bool) -> Pooled:
        """Return one embedding per mask.

        Args:
            features: of the masks' image, from any network.
            masks: n masks, or a dense (n, h, w) bool array. A mask without pixels is `empty`.
        """
        covered = patch_coverage(masks, features.grid)
        return weighted_mean(features, covered, covered)
