"""True segments from a COCO annotation file, of instances or panoptic."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from samseg.errors import ConfigError
from samseg.lab.evaluation.classes.truth import Rle, TrueSegments, encoded


class CocoTruth:
    """A COCO file; crowds are left out, because they cover several objects.

    The maps of a panoptic file `x.json` are in the folder `x` beside it, as in COCO's releases.
    """

    merged: tuple[tuple[str, ...], ...] = ()

    def __init__(self, path: Path):
        """Read the file.

        Raises:
            ConfigError: it is not a COCO annotation file.
        """
        self._path, self.name = path, path.stem
        try:
            found = json.loads(path.read_bytes())
            self._names = {c["id"]: str(c["name"]) for c in found["categories"]}
            self._images = {i["id"]: i for i in found["images"]}
            self._annotations: dict[Any, list[dict[str, Any]]] = defaultdict(list)
            for annotation in found["annotations"]:
                self._annotations[annotation["image_id"]].append(annotation)
            self._ids = {str(i["file_name"]): i["id"] for i in self._images.values()}
        except OSError as e:
            raise ConfigError(f"cannot read the labels {path}: {e.strerror}") from e
        except (ValueError, KeyError, TypeError) as e:
            raise ConfigError(
                f"{path} is not a COCO annotation file ({type(e).__name__}: {e}); wanted `images`, "
                "`annotations` and `categories`, as in COCO's instances or panoptic files"
            ) from e
        self.photos = sorted(self._ids)

    def read(self, photo: str) -> TrueSegments:
        """See `LabelSource.read`."""
        image = self._images[self._ids[photo]]
        try:
            size = (int(image["height"]), int(image["width"]))
            rles: list[Rle] = []
            categories: list[str] = []
            for annotation in self._annotations[image["id"]]:
                panoptic = "segments_info" in annotation
                segments = annotation["segments_info"] if panoptic else [annotation]
                ids = self._panoptic_map(annotation["file_name"], size) if panoptic else None
                for segment in segments:
                    if segment.get("iscrowd"):
                        continue
                    instance = ids is None
                    rles.append(
                        _rle(segment["segmentation"], size)
                        if instance
                        else encoded(ids == segment["id"])
                    )
                    categories.append(self._names[segment["category_id"]])
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise ConfigError(
                f"{self._path}: the annotations of {photo} are invalid ({type(e).__name__}: {e})"
            ) from e
        return TrueSegments.of(size, rles, categories)

    def _panoptic_map(self, name: str, size: tuple[int, int]) -> np.ndarray:
        """Return the segment id of each pixel: R + 256 G + 65536 B."""
        path = self._path.with_suffix("") / name
        try:
            with Image.open(path) as image:
                rgb = np.asarray(image.convert("RGB"), np.int64)
        except OSError as e:
            raise ConfigError(f"cannot read the panoptic map {path}: {e}") from e
        if rgb.shape[:2] != size:
            raise ConfigError(f"{path} is of {rgb.shape[:2]} px (h, w), its photo of {size}")
        return rgb @ np.array([1, 256, 65536])


def _rle(segmentation: Any, size: tuple[int, int]) -> Rle:
    """Return polygons, an uncompressed or a compressed RLE as a compressed one."""
    from pycocotools import mask as coco

    if isinstance(segmentation, list):
        found: Rle = coco.merge(coco.frPyObjects(segmentation, *size))
        return found
    if tuple(segmentation["size"]) != size:
        raise ValueError(f"a segmentation of {segmentation['size']} px in an image of {size}")
    if isinstance(segmentation["counts"], list):
        return dict(coco.frPyObjects(segmentation, *size))
    return dict(segmentation)
