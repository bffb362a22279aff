"""The masks that stand for the sides of a split, from the sample in memory where it has enough."""

import heapq
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from samseg.edits.edit import EXEMPLARS, Exemplar
from samseg.review.classes_now import ClassesNow
from samseg.review.sample_map import SampleMap
from samseg.stages.edits.sides import Exemplars, Side
from samseg.types import Float32, Int64, sample_rank_of

_ENOUGH = 10
"""Masks of a side that the sample must have; of rare classes it has fewer."""


@dataclass(frozen=True, slots=True, eq=False)
class SampledExemplars:
    """See `samseg.stages.edits.sides.Exemplars`.

    Attributes:
        now: the classes.
        sample: masks with their vectors; those of the whole lake with the lowest ranks.
        rows: (n,) int64, their rows of the catalogue, -1 for masks that it does not have.
        stored: takes the place of a sample that has too few masks of a side.
    """

    now: ClassesNow
    sample: SampleMap
    rows: Int64
    stored: Exemplars

    def choose(self, class_id: int, is_second: Mapping[int, bool]) -> tuple[Side, Side]:
        """See `Exemplars`."""
        catalogue, of_class = self.now.catalogue, self.now.rows_of(class_id)
        if catalogue.cells is None:
            return self.stored.choose(class_id, is_second)
        sampled = self.rows[np.isin(self.rows, of_class)]
        sides = []
        for wanted in (False, True):
            own = [cell for cell, second in is_second.items() if second is wanted]
            ids = catalogue.mask_ids(sampled[np.isin(catalogue.cells[sampled], own)])
            if len(ids) < _ENOUGH:
                return self.stored.choose(class_id, is_second)
            masks = catalogue.located(heapq.nsmallest(EXEMPLARS, ids, key=sample_rank_of))
            sides.append(Side(int(np.isin(catalogue.cells[of_class], own).sum()), tuple(masks)))
        return sides[0], sides[1]

    def points(self, masks: Sequence[Exemplar]) -> Float32:
        """See `Exemplars`."""
        ids = self.sample.mask_ids
        wanted = sorted(mask.mask_id for mask in masks)
        at = [bisect_left(ids, mask_id) for mask_id in wanted]
        if all(n < len(ids) and ids[n] == mask_id for n, mask_id in zip(at, wanted, strict=True)):
            return self.sample.points[at]
        return self.stored.points(masks)
