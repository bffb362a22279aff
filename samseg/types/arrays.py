"""Names of array types, and the values that columns of the tables take."""

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Pixels = NDArray[np.uint8]

NOISE = -1
"""`class_id` of a mask that belongs to no class."""

IGNORED = -2
"""`class_id` of a mask that a person left out of exports; no codebook assigns it."""

STATUSES = (
    "ok",
    "no_masks",
    "unreadable",
    "undecodable",
    "too_large",
    "crashed",
    "timeout",
    "nonfinite",
    "failed",
)
"""Values of the `status` column of `images`. The first two are successes."""

LABELLED = STATUSES[:2]
"""Statuses of images that were labelled."""

RETRIED_ONCE = ("unreadable", "crashed", "timeout")
"""Statuses of failures that may be over the next night, which then labels these images again."""

EMBEDDING_STATUSES = (
    "ok",
    "empty",
    "nonfinite",
    "missing",
    "changed",
    "undecodable",
    "too_large",
    "crashed",
)
"""Values of `status` in `embeddings/{name}/`; only rows of the first one have a vector.

The first three are of the mask, as in `masks`. The others are of its image, when an embedding is
added to an existing output: it is no longer there, its bytes are not those of the masks, or it
cannot be decoded now."""
