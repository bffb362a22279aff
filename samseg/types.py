"""Value types shared by all packages: the lake, images, masks, embeddings.

Frozen dataclasses over numpy arrays, with no behaviour beyond their own fields. This module
imports no other samseg module.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Pixels = NDArray[np.uint8]

NOISE = -1
"""`class_id` of a mask that belongs to no class."""

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


# --------------------------------------------------------------------------- the lake


@dataclass(frozen=True, slots=True)
class Source:
    """One object of the lake: an image file or a tar of images.

    Attributes:
        key: stable name: `/`-separated path below the root of the lake.
        uri: address to open it at.
        etag: the store's version tag; modification time and size if it has none.
        bytes: size of the object.
    """

    key: str
    uri: str
    etag: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Shard:
    """The unit of reading, work, commit, retry and resume.

    Attributes:
        id: hash of the content list; independent of rank and position.
        sources: the objects of this shard, in reading order.
        images: number of planned images; None if unknown until it is read (a tar).
    """

    id: str
    sources: tuple[Source, ...]
    images: int | None

    @classmethod
    def of(cls, sources: Iterable[Source], images: int | None) -> "Shard":
        """Create a shard; its id depends only on key, etag and size of its sources."""
        kept = tuple(sources)
        digest = hashlib.blake2b(digest_size=10)
        for s in kept:
            digest.update(f"{s.key}\0{s.etag}\0{s.bytes}\n".encode("utf-8", "surrogateescape"))
        return cls(digest.hexdigest(), kept, images)

    @property
    def bytes(self) -> int:
        """Total size of the sources."""
        return sum(s.bytes for s in self.sources)


def image_id_of(key: str) -> str:
    """Return the image id: 20 hex digits of the BLAKE2b hash of the image's key in the lake."""
    return hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()


def mask_id_of(image_id: str, mask_index: int) -> str:
    """Return the mask id: image id and position within the image's masks."""
    return f"{image_id}-{mask_index:04d}"


def sample_rank_of(mask_id: str) -> int:
    """Return a 64-bit hash of a mask id; a sample of n masks takes the n smallest ones.

    So samples do not depend on the order of nights or on shards, and a lake that has grown keeps
    most of its sample. Parts of named embeddings are sorted by it: a sample is a prefix of each.
    """
    digest = hashlib.blake2b(mask_id.encode(), digest_size=8, person=b"samseg-ref").digest()
    return int.from_bytes(digest, "big")


@dataclass(frozen=True, slots=True)
class RawImage:
    """One image as returned by a reader, not decoded.

    Attributes:
        key: name of the image in the lake; its id is derived from it.
        uri: address to open this image at (fsspec syntax, `tar://member::uri` in a tar).
        payload: the file's bytes, or the error that occurred when reading them
            (an `ImageError`, typed loosely because this module imports no other samseg module).
    """

    key: str
    uri: str
    payload: bytes | Exception

    @property
    def image_id(self) -> str:
        """The image's id."""
        return image_id_of(self.key)


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One decoded image.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, upright (EXIF orientation applied), C-contiguous.
        format: container format, upper case (`JPEG`, `PNG` ...).
        note: changes made by the decode policy (`exif_rotated`, `first_frame`, `16_bit` ...),
            comma-separated; empty if none.
    """

    pixels: Pixels
    format: str
    note: str = ""


# --------------------------------------------------------------------------- masks

_MASK_ARRAYS = (
    "boxes",
    "areas",
    "predicted_iou",
    "stability_score",
    "points",
    "crops",
    "prompt_ids",
)


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """All masks of one image as a struct of arrays of length n.

    Attributes:
        size: (h, w) of the image in px.
        boxes: (n, 4) int32, xyxy, px of the original image; both corners lie inside the mask
            (the convention of `segment_anything.utils.amg.batched_mask_to_box`).
        areas: (n,) int64, px.
        predicted_iou: (n,) float32, the decoder's estimate.
        stability_score: (n,) float32, in [0, 1].
        points: (n, 2) float32, xy, px of the original image: the prompt of the mask
            (the box centre for box prompts).
        crops: (n, 4) int32, xyxy, px of the original image: the crop that was segmented.
        rles: n COCO compressed RLEs, `{"size": [h, w], "counts": bytes}`.
        prompt_kind: `grid`, `points`, `boxes` or `masks`.
        prompt_ids: (n,) int32, index of the prompt.
    """

    size: tuple[int, int]
    boxes: Int32
    areas: Int64
    predicted_iou: Float32
    stability_score: Float32
    points: Float32
    crops: Int32
    rles: tuple[Mapping[str, Any], ...]
    prompt_kind: str
    prompt_ids: Int32

    def __len__(self) -> int:
        return len(self.rles)

    def __getitem__(self, index: Sequence[int] | slice | NDArray[Any]) -> "Masks":
        """Select masks by a slice, a list of positions or a boolean array."""
        order = np.arange(len(self))[index]
        arrays: dict[str, Any] = {name: getattr(self, name)[order] for name in _MASK_ARRAYS}
        return replace(self, rles=tuple(self.rles[i] for i in order), **arrays)

    @classmethod
    def join(cls, parts: Sequence["Masks"]) -> "Masks":
        """Concatenate the masks of one image, in order; at least one part."""
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(p, name) for p in parts]) for name in _MASK_ARRAYS
        }
        return replace(parts[0], rles=tuple(rle for p in parts for rle in p.rles), **arrays)

    def to_dense(self) -> Bool:
        """Decode to (n, h, w) bool. Takes n x h x w bytes of memory."""
        from pycocotools import mask as coco

        h, w = self.size
        if not self.rles:
            return np.zeros((0, h, w), dtype=np.bool_)
        return np.ascontiguousarray(coco.decode(list(self.rles)).transpose(2, 0, 1)).astype(bool)


class Segmentation(NamedTuple):
    """The result for one image: `masks, features = segmenter.segment(image)`.

    Attributes:
        masks: the masks in the order of the reference generator: best first within a crop.
        features: (256, 64, 64) float32, SAM's image embedding over the padded 1024 x 1024 square.
    """

    masks: Masks
    features: Float32


# --------------------------------------------------------------------------- features, embeddings


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """How the patches of a feature map lie over an image.

    The image is scaled to `input_size` and placed in the top left corner of the network's input;
    the rest of the input is padding.

    Attributes:
        image_size: (h, w) of the image in px.
        input_size: (h, w) of the scaled image in px of the input, without padding; each at least 1.
        stride: side of a patch in px of the input.
        shape: (rows, columns) of patches, those in the padding included.
    """

    image_size: tuple[int, int]
    input_size: tuple[int, int]
    stride: int
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Dense features of one image, from SAM or from another network.

    Attributes:
        map: (c, rows, columns) float32.
        grid: how the patches lie over the image.
    """

    map: Float32
    grid: PatchGrid

    def __post_init__(self) -> None:
        if self.map.ndim != 3 or self.map.shape[1:] != self.grid.shape:
            raise ValueError(
                f"the feature map has shape {self.map.shape}, wanted (c, *{self.grid.shape}): "
                "the features of one image, without a batch axis"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """One embedding per mask.

    Attributes:
        embeddings: (n, c) float32, raw (unnormalised); a zero row where `empty`.
        coverage: (n,) float32, patches of the grid covered by the mask, fractional.
        empty: (n,) bool, True where there was no patch to pool.
    """

    embeddings: Float32
    coverage: Float32
    empty: Bool
