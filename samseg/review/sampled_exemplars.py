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
        cells = self.now.catalogue.cells
        if cells is None or not is_second:
            return Side(0, ()), Side(0, ())
        side_of = np.full(max(int(cells.max(initial=0)), *is_second) + 2, -1, np.int8)
        side_of[[*is_second]] = [*is_second.values()]  # the last one is that of cell -1
        rows, sampled = self.now.rows_of(class_id), self.rows[self.rows >= 0]
        sampled = sampled[self.now.class_ids[sampled] == class_id]
        first, second = (
            self._side(*(some[side_of[cells[some]] == side] for some in (rows, sampled)))
            for side in (0, 1)
        )
        return first, second

    def _side(self, rows: Int64, sampled: Int64) -> Side:
        """Choose among the masks of a side, of which some are in the sample."""
        enough = len(sampled) >= min(_ENOUGH, len(rows))
        ids = self.now.catalogue.mask_ids(sampled if enough else rows)
        lowest = heapq.nsmallest(EXEMPLARS if enough else _ENOUGH, ids, key=sample_rank_of)
        return Side(len(rows), tuple(self.now.catalogue.located(lowest)))

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
