"""The pooling of the notebook "Meta-AI SAM: Automatic Semantic Segmentation" (Y. Yatnalkar, 2023).

All patches with more than one mask pixel have the same weight. Patches at the border weigh as much
as those inside, so embeddings of small and thin masks mix with their surroundings; `coverage`
avoids this.
"""

from typing import Literal

import numpy as np

from samseg.pooling.grid import patch_coverage
from samseg.pooling.mean import weighted_mean
from samseg.spec import Spec
from samseg.types import Bool, Features, Masks, Pooled

_ROUNDING = 1e-4
"""Tolerance in px for the float32 rounding of coverage, so that one pixel is not more than one."""


class MaskMean(Spec):
    """Unweighted mean of the patches that contain more than one pixel of a mask.

    Pixels are those of the network's input, for SAM a frame of 1024 x 1024 px. The notebook first
    stretches each image to a square of that size; here the aspect ratio is kept, as in SAM. On
    square images both rules are the same.
    """

    kind: Literal["mask_mean"] = "mask_mean"

    def pool(self, features: Features, masks: Masks | Bool) -> Pooled:
        """Return one embedding per mask.

        Args:
            features: of the masks' image, from any network.
            masks: n masks, or a dense (n, h, w) bool array. A mask without more than one pixel in
                any patch is `empty`.
        """
        covered = patch_coverage(masks, features.grid)
        selected = covered * features.grid.stride**2 > 1 + _ROUNDING
        return weighted_mean(features, selected.astype(np.float32), covered)
