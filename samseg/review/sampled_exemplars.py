"""The masks that stand for the sides of a split, chosen and read from what is in memory.

They are the masks of a side with the lowest ranks: those of the sample, and where it has fewer than
`_ENOUGH` the next ones, of which only the vectors are read from the tables.
"""

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
"""Masks that stand for a side, if it has that many."""


@dataclass(frozen=True, slots=True, eq=False)
class SampledExemplars:
    """See `samseg.stages.edits.sides.Exemplars`.

    Attributes:
        now: the classes.
        sample: masks with their vectors; those of the whole lake with the lowest ranks.
        rows: (n,) int64, their rows of the catalogue, -1 for masks that it does not have.
        stored: reads the vectors of other masks.
    """

    now: ClassesNow
    sample: SampleMap
    rows: Int64
    stored: Exemplars

    def choose(self, class_id: int, is_second: Mapping[int, bool]) -> tuple[Side, Side]:
        """See `Exemplars`."""
        of_class = self.now.rows_of(class_id)
        sampled = self.rows[np.isin(self.rows, of_class)]
        first, second = (
            self._side(
                of_class, sampled, [cell for cell, second in is_second.items() if second is s]
            )
            for s in (False, True)
        )
        return first, second

    def _side(self, of_class: Int64, sampled: Int64, cells: Sequence[int]) -> Side:
        catalogue = self.now.catalogue
        if catalogue.cells is None:  # the codebook has no tree: `samseg.stages.edits.sides` says so
            return Side(0, ())
        rows = of_class[np.isin(catalogue.cells[of_class], cells)]
        known = sampled[np.isin(sampled, rows)]
        enough = len(known) >= min(_ENOUGH, len(rows))
        count = EXEMPLARS if enough else _ENOUGH
        ids = catalogue.mask_ids(known if enough else rows)
        lowest = heapq.nsmallest(count, ids, key=sample_rank_of)
        return Side(len(rows), tuple(catalogue.located(lowest)))

    def points(self, masks: Sequence[Exemplar]) -> Float32:
        """See `Exemplars`."""
        ids, known, others = self.sample.mask_ids, [], []
        for mask in sorted(masks, key=lambda m: m.mask_id):
            at = bisect_left(ids, mask.mask_id)
            if at < len(ids) and ids[at] == mask.mask_id:
                known.append(at)
            else:
                others.append(mask)
        points = self.sample.points[known]
        return np.concatenate([points, self.stored.points(others)]) if others else points
