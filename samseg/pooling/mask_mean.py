"""The pooling of the notebook "Meta-AI SAM: Automatic Semantic Segmentation" (Y. Yatnalkar, 2023).

Every patch with more than one mask pixel counts, and all count the same. Rims weigh as much as the
inside, so embeddings of small and thin masks take up their surroundings; `coverage` does not.
"""

from typing import Literal

import numpy as np

from samseg.pooling.grid import PATCH, patch_coverage
from samseg.pooling.mean import weighted_mean
from samseg.spec import Spec
from samseg.types import Bool, Float32, Masks, Pooled

_ROUNDING = 1e-4
"""One pixel is one pixel, whatever float32 made of 1/256 on the way."""


class MaskMean(Spec):
    """Plain mean of the patches that hold more than one pixel of a mask.

    Pixels are those of the 1024 x 1024 frame that SAM encodes. The notebook stretches every image
    to a square of that size before anything else; here the frame keeps the aspect ratio, as SAM
    itself does. On square images the rule is the notebook's own.
    """

    kind: Literal["mask_mean"] = "mask_mean"

    def pool(self, features: Float32, masks: Masks | Bool) -> Pooled:
        """Return one embedding per mask.

        Args:
            features: (256, 64, 64) float32, SAM's image embedding.
            masks: n masks, or a dense (n, h, w) bool array. A mask that covers no patch by more
                than one pixel is `empty`.
        """
        covered = patch_coverage(masks)
        counts = covered * PATCH**2 > 1 + _ROUNDING
        return weighted_mean(features, counts.astype(np.float32), covered)
