"""Pooling for features of coarse stride: weight each patch by the square of the covered fraction.

The patches at the border of a mask also see what lies beside it, and the coarser the stride, the
more of them there are. Squaring halves the weight of a half-covered patch once more.
"""

from typing import Literal

from samseg.pooling.grid import patch_coverage
from samseg.pooling.mean import weighted_mean
from samseg.spec import Spec
from samseg.types import Bool, Features, Masks, Pooled


class CoverageSquared(Spec):
    """Mean of the patches under a mask, weighted by the squared fraction covered."""

    kind: Literal["coverage_squared"] = "coverage_squared"

    def pool(self, features: Features, masks: Masks | Bool) -> Pooled:
        """Return one embedding per mask.

        Args:
            features: of the masks' image, from any network.
            masks: n masks, or a dense (n, h, w) bool array. A mask without pixels is `empty`.
        """
        covered = patch_coverage(masks, features.grid)
        return weighted_mean(features, covered**2, covered)
