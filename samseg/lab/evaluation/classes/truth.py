"""True segments of photos with their categories, from a labelled set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import yaml

from samseg.errors import ConfigError
from samseg.lab.labelled import LabelledSet
from samseg.types import Bool, Int64

Rle = Mapping[str, Any]

SYNONYMS = Path(__file__).with_name("synonyms.yaml")


@dataclass(frozen=True, slots=True, eq=False)
class TrueSegments:
    """n segments of one photo; they may overlap.

    Attributes:
        size: (h, w) of the photo in px.
        rles: n COCO compressed RLEs.
        areas: (n,) int64, px.
        categories: n names.
    """

    size: tuple[int, int]
    rles: tuple[Rle, ...]
    areas: Int64
    categories: tuple[str, ...]

    @classmethod
    def of(
        cls, size: tuple[int, int], rles: Sequence[Rle], categories: Sequence[str]
    ) -> "TrueSegments":
        """Measure the areas; segments without pixels are left out."""
        from pycocotools import mask as coco

        areas = np.asarray(coco.area(list(rles)) if rles else [], np.int64)
        kept = np.flatnonzero(areas).tolist()
        names = tuple(categories[i] for i in kept)
        return cls(size, tuple(rles[i] for i in kept), areas[kept], names)

    def __len__(self) -> int:
        return len(self.rles)

    def largest(self, limit: int, min_area: float) -> Int64:
        """Return the largest segments over a fraction `min_area` of the photo, in their order."""
        order = np.argsort(-self.areas, kind="stable")[:limit]
        large = self.areas[order] > min_area * self.size[0] * self.size[1]
        return np.sort(order[large])


class LabelSource(Protocol):
    """Photos with true segments."""

    @property
    def name(self) -> str:
        """Name of the set."""
        ...

    @property
    def photos(self) -> Sequence[str]:
        """Names of the photos."""
        ...

    @property
    def merged(self) -> tuple[tuple[str, ...], ...]:
        """Groups of categories that count as one."""
        ...

    def read(self, photo: str) -> TrueSegments:
        """Read the segments of one photo.

        Raises:
            ConfigError: the labels of the photo are invalid.
        """
        ...


class LabelledTruth:
    """The segments of a labelled set that have a category; synonyms are merged."""

    def __init__(self, labelled: LabelledSet):
        """Read nothing yet."""
        self.labelled = labelled
        self.name, self.photos = labelled.name, labelled.stems

    @cached_property
    def merged(self) -> tuple[tuple[str, ...], ...]:
        """The groups in `synonyms.yaml`."""
        found = yaml.safe_load(SYNONYMS.read_text(encoding="utf-8")).get(self.name, [])
        return tuple(tuple(group) for group in found)

    def read(self, photo: str) -> TrueSegments:
        """See `LabelSource.read`."""
        found = self.labelled.read(photo)
        first = {name: group[0] for group in self.merged for name in group}
        segments = [s for s in found.segments() if s in found.categories]
        names = [self.labelled.class_name(found.categories[s]) for s in segments]
        size = (found.instances.shape[0], found.instances.shape[1])
        return TrueSegments.of(
            size,
            [encoded(found.mask(s)) for s in segments],
            [first.get(name, name) for name in names],
        )


def encoded(mask: Bool) -> Rle:
    """Return an (h, w) bool mask as COCO compressed RLE."""
    from pycocotools import mask as coco

    found: Rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return found


def common_categories(
    name: str, segments: Iterable[TrueSegments], limit: int, min_area: float, least: int
) -> tuple[str, ...]:
    """Return the categories with at least `least` segments among the largest of each photo, sorted.

    Raises:
        ConfigError: there are fewer than two.
    """
    chosen = [s.categories[i] for s in segments for i in s.largest(limit, min_area)]
    counts = dict(zip(*np.unique(np.array(chosen, str), return_counts=True), strict=True))
    common = tuple(str(c) for c, count in counts.items() if count >= least)
    if len(common) < 2:
        if not counts:
            got = "no segment with a category"
        else:
            got = ", ".join(f"{c} ({count} segments)" for c, count in counts.items())
        raise ConfigError(
            f"{name}: classes are compared with two categories or more, each of {least} segments "
            f"over {min_area:.1%} of their photo at least; found {got}. Use a set with class "
            "labels, more photos, or a smaller --min-segments"
        )
    return common
