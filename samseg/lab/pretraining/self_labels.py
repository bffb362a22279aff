"""Masks of unlabelled photos, from colour and the features of the ImageNet trunk.

Superpixels (Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", 2004) are
merged with their neighbours, bottom-up, by colour and by the trunk's features (Ward, "Hierarchical
Grouping to Optimize an Objective Function", 1963). Every node of the merge tree is a candidate: a
part, an object or a group (the idea of Wang et al., "Segment Anything without Supervision", 2024).
The same is done for a second view of the photo. A region is kept if both trees contain it and if it
is persistent: much is merged elsewhere before it is merged with its surroundings.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps
from scipy import sparse

from samseg.backbones import efficientnet_lite0
from samseg.backbones.efficientnet_lite0 import MEAN, STD, EfficientNetLite0
from samseg.errors import ConfigError
from samseg.progress import Progress
from samseg.types import Bool, Int32, Pixels

Float64 = NDArray[np.float64]

AGREEMENT = 0.8
"""Minimum IoU of a region with one of the other view."""

PERSISTENCE = 0.3
"""Minimum persistence of a region; see `_MergeTree`."""

_MIN_AREA, _MAX_AREA = 0.003, 0.6
"""Limits of a region's area, as shares of the photo."""

_DUPLICATE_IOU = 0.8
"""Of regions with at least this IoU, only the most persistent one is kept."""

_MAX_REGIONS = 40
_LONG_SIDE, _SECOND_SCALE = 512, 0.8
_FELZENSZWALB = {"scale": 40, "sigma": 0.7, "min_size": 40}
_COLOUR_WEIGHT, _MAP_WEIGHTS = 0.6 / 32, (0.0, 0.6, 0.6, 0.4)
"""Weights of LAB colour and of the trunk's maps in the distance of two superpixels."""


@dataclass(frozen=True, slots=True, eq=False)
class _MergeTree:
    """Superpixels of a photo and the order in which they were merged.

    Attributes:
        superpixels: (h, w) int32, from 0.
        nodes: (2 n - 1, n) float64, 1 where a node has a superpixel; the first n nodes are leaves.
        persistence: (2 n - 1,) 1 - height / height of the parent; a node's height is the distance
            (Ward) at which its children were merged.
    """

    superpixels: Int32
    nodes: Float64
    persistence: Float64


def label_photos(photos: Path, folder: Path, progress: Progress) -> None:
    """Label the photos of a folder; photos that are labelled already are skipped.

    Args:
        photos: folder of photos.
        folder: folder for the labelled set, see `samseg.lab.labelled`; created if missing.
        progress: receives the number of photos done.

    Raises:
        ConfigError: `photos` is not a folder.
    """
    if not photos.is_dir():
        raise ConfigError(f"no folder {photos}; give a folder of photos as `unlabelled.folder`")
    trunk = efficientnet_lite0.load()
    efficientnet_lite0.fold(trunk)
    for name in ("images", "instances"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    files = sorted(p for p in photos.iterdir() if p.is_file() and p.name[0] != ".")
    progress.start("self labels", len(files), "photos")
    for done, file in enumerate(files, start=1):
        copy = folder / "images" / f"{file.stem}.png"
        if not copy.exists():
            _label(file, copy, trunk, progress)
        progress.update(done)
    progress.finish(f"{len(files)} photos in {folder}")


def _label(file: Path, copy: Path, trunk: EfficientNetLite0, progress: Progress) -> None:
    try:
        with Pillow.open(file) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except OSError as e:
        progress.note(f"{file}: {e}")
        return
    image.thumbnail((_LONG_SIDE, _LONG_SIDE))
    for k, map_ in enumerate(self_labels(np.asarray(image), trunk)):
        ids = Pillow.fromarray(map_.astype(np.uint8))
        ids.save(copy.parents[1] / "instances" / f"{file.stem}__{k}.png")
    beside = copy.with_name(f".{copy.name}")
    image.save(beside, "PNG")
    beside.replace(copy)  # written last: marks the photo as done


def self_labels(pixels: Pixels, trunk: EfficientNetLite0) -> list[Int32]:
    """Find regions of a photo.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        trunk: see `samseg.backbones.efficientnet_lite0.load`.

    Returns:
        Maps (h, w) int32 of regions that do not overlap, numbered from 1, 0 for none. Regions of
        different maps may overlap.
    """
    small = _resized(pixels, min(1.0, _LONG_SIDE / max(pixels.shape[:2])))
    mirrored = np.ascontiguousarray(_resized(small, _SECOND_SCALE)[:, ::-1])
    own, other = _merged(small, trunk), _merged(mirrored, trunk)
    if own is None or other is None:
        return []
    of_other = _nearest(other.superpixels[:, ::-1], small.shape[:2])
    shared = _intersections(own.superpixels, of_other, own.nodes.shape[1], other.nodes.shape[1])
    both = own.nodes @ shared @ other.nodes.T
    areas, of_others = own.nodes @ shared.sum(1), other.nodes @ shared.sum(0)
    agreement = (both / (areas[:, None] + of_others - both)).max(1)
    kept = (
        (agreement >= AGREEMENT)
        & (own.persistence >= PERSISTENCE)
        & (areas >= _MIN_AREA * of_other.size)
        & (areas <= _MAX_AREA * of_other.size)
    )
    overlap = (own.nodes * shared.sum(1)) @ own.nodes.T
    chosen: list[int] = []
    for i in sorted(np.flatnonzero(kept), key=lambda i: -own.persistence[i] * agreement[i]):
        known = overlap[i, chosen]
        if (
            len(chosen) < _MAX_REGIONS
            and (known < _DUPLICATE_IOU * (areas[i] + areas[chosen] - known)).all()
        ):
            chosen.append(int(i))
    chosen.sort(key=lambda i: areas[i])
    masks = [own.nodes[i][own.superpixels] > 0 for i in chosen]
    return [_nearest(map_, pixels.shape[:2]) for map_ in _pack_into_maps(masks)]


def _merged(pixels: Pixels, trunk: EfficientNetLite0) -> _MergeTree | None:
    """Merge the superpixels of a photo; None if there are fewer than 4."""
    from skimage.segmentation import felzenszwalb
    from sklearn.cluster import AgglomerativeClustering

    superpixels = felzenszwalb(pixels, **_FELZENSZWALB).astype(np.int32)
    n = int(superpixels.max()) + 1
    if n < 4:
        return None
    merging = AgglomerativeClustering(
        n_clusters=None,
        distance_threshold=0,
        linkage="ward",
        connectivity=_adjacent(superpixels, n),
    ).fit(_superpixel_features(pixels, superpixels, n, trunk))
    nodes = np.zeros((2 * n - 1, n))
    nodes[:n] = np.eye(n)
    heights = np.concatenate([np.zeros(n), merging.distances_])
    of_parent = np.full(2 * n - 1, np.inf)
    for i, pair in enumerate(merging.children_, start=n):
        nodes[i] = nodes[pair].sum(0)
        heights[i] = max(heights[i], *heights[pair])
        of_parent[pair] = max(heights[i], 1e-9)
    return _MergeTree(superpixels, nodes, 1 - heights / of_parent)


def _superpixel_features(
    pixels: Pixels, superpixels: Int32, n: int, trunk: EfficientNetLite0
) -> Float64:
    """Return (n, d): mean colour, and the trunk's features centred on the photo's mean."""
    areas = np.bincount(superpixels.ravel(), minlength=n).astype(np.float64)
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    colours = [np.bincount(superpixels.ravel(), channel, minlength=n) for channel in lab.T]
    parts = [_COLOUR_WEIGHT * np.stack(colours, axis=1) / areas[:, None]]
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        maps = trunk((x - MEAN) / STD)
    for weight, map_ in zip(_MAP_WEIGHTS, maps, strict=True):
        if weight:
            gh, gw = map_.shape[2:]
            cells = _nearest(np.arange(gh * gw, dtype=np.int32).reshape(gh, gw), pixels.shape[:2])
            covered = _intersections(superpixels, cells, n, gh * gw)
            pooled = covered @ map_[0].flatten(1).T.double().numpy() / areas[:, None]
            centred = pooled - np.average(pooled, axis=0, weights=areas)
            spread = np.sqrt(np.average((centred**2).sum(1), weights=areas))
            parts.append(weight * centred / max(spread, 1e-9))
    return np.concatenate(parts, axis=1)


def _intersections(one: Int32, other: Int32, n: int, m: int) -> Float64:
    """Return (n, m): px that region i of one map shares with region j of another."""
    counts = np.bincount(one.ravel().astype(np.int64) * m + other.ravel(), minlength=n * m)
    return counts.reshape(n, m).astype(np.float64)


def _adjacent(superpixels: Int32, n: int) -> sparse.csr_matrix:
    """Return (n, n): 1 where two superpixels touch."""
    beside = superpixels[:, :-1], superpixels[:, 1:]
    below = superpixels[:-1], superpixels[1:]
    i, j = (np.concatenate([a.ravel(), b.ravel()]) for a, b in zip(beside, below, strict=True))
    touching = sparse.coo_matrix((np.ones(len(i)), (i, j)), shape=(n, n)).tocsr()
    return ((touching + touching.T) > 0).astype(np.float64)


def _pack_into_maps(masks: list[Bool]) -> list[Int32]:
    """Draw each mask into the first map in which it overlaps no other mask."""
    maps: list[Int32] = []
    for mask in masks:
        for map_ in maps:
            if not map_[mask].any():
                break
        else:
            map_ = np.zeros(mask.shape, dtype=np.int32)
            maps.append(map_)
        map_[mask] = map_.max() + 1
    return maps


def _resized(pixels: Pixels, scale: float) -> Pixels:
    size = [max(1, round(n * scale)) for n in pixels.shape[1::-1]]
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _nearest(map_: Int32, size: tuple[int, int]) -> Int32:
    """Resize a map of ids to (h, w)."""
    contiguous = np.ascontiguousarray(map_)
    resized = cv2.resize(contiguous, size[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, dtype=np.int32)
