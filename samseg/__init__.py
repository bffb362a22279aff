"""Label image lakes with the Segment Anything Model.

    samseg.load_model("tiny")                       -> segment_anything.modeling.Sam
    samseg.load_segmenter("tiny").segment(image)    -> masks, features
    samseg.pool(features, masks)                    -> (n, 256) embeddings
    samseg.cluster(embeddings)                      -> (n,) classes of one picture
    samseg.open("labels/")                          -> the tables of an output folder
    samseg.find("labels/", "photo.jpg", box=...)    -> the masks most like one example

Names are imported on first use: `import samseg` loads neither torch nor ray.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_MODULES = {
    "load_model": "samseg.sam.weights.load",
    "load_segmenter": "samseg.sam.segmenter",
    "pool": "samseg.pooling",
    "cluster": "samseg.clustering.picture",
    "open": "samseg.query",
    "find": "samseg.finding.find",
    "Masks": "samseg.types",
    "Segmentation": "samseg.types",
}

__all__ = [
    "Masks",
    "Segmentation",
    "__version__",
    "cluster",
    "find",
    "load_model",
    "load_segmenter",
    "open",
    "pool",
]

if TYPE_CHECKING:
    from samseg.clustering.picture import cluster
    from samseg.finding.find import find
    from samseg.pooling import pool
    from samseg.query import open
    from samseg.sam.segmenter import load_segmenter
    from samseg.sam.weights.load import load_model
    from samseg.types import Masks, Segmentation


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'samseg' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
