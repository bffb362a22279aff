"""Value types shared by all packages: the lake, images, masks, embeddings.

Frozen dataclasses over numpy arrays, with no behaviour beyond their own fields. This package
imports no other samseg module.
"""

from samseg.types.arrays import (
    EMBEDDING_STATUSES,
    IGNORED,
    LABELLED,
    NOISE,
    RETRIED_ONCE,
    STATUSES,
    Bool,
    Float32,
    Int32,
    Int64,
    Pixels,
)
from samseg.types.features import Features, PatchGrid, Pooled
from samseg.types.lake import (
    Image,
    RawImage,
    Shard,
    Source,
    image_id_of,
    mask_id_of,
    sample_rank_of,
)
from samseg.types.masks import Masks, Segmentation

__all__ = [
    "EMBEDDING_STATUSES",
    "IGNORED",
    "LABELLED",
    "NOISE",
    "RETRIED_ONCE",
    "STATUSES",
    "Bool",
    "Features",
    "Float32",
    "Image",
    "Int32",
    "Int64",
    "Masks",
    "PatchGrid",
    "Pixels",
    "Pooled",
    "RawImage",
    "Segmentation",
    "Shard",
    "Source",
    "image_id_of",
    "mask_id_of",
    "sample_rank_of",
]
