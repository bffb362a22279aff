"""Splits on the page: the masks of a side with the lowest ranks, however few the sample has."""

from dataclasses import replace

import numpy as np
import pytest

from samseg.review.sampled_exemplars import _ENOUGH, SampledExemplars
from samseg.stages.edits.sides import StoredExemplars
from samseg.types import sample_rank_of


@pytest.mark.parametrize("sampled", [0, 5, None], ids=["none", "few", "all"])
def test_a_side_has_the_masks_of_the_lowest_ranks(browser, sampled):
    review = browser.review
    now, whole = review.now, review.sample
    stored = StoredExemplars(review.output, whole.codebook, now.found)
    lowest = sorted(whole.mask_ids, key=sample_rank_of)[:sampled]
    kept = [n for n, mask in enumerate(whole.mask_ids) if mask in {*lowest}]
    sample = replace(whole, mask_ids=[whole.mask_ids[n] for n in kept], points=whole.points[kept])
    exemplars = SampledExemplars(now, sample, review.sample_rows[kept], stored)
    class_id = now.masks.most_common(1)[0][0]
    rows = now.rows_of(class_id)
    cells = sorted({*now.catalogue.cells[rows].tolist()})
    is_second = {cell: n % 3 == 0 for n, cell in enumerate(cells)}
    for side, second in zip(exemplars.choose(class_id, is_second), (False, True), strict=True):
        own = rows[[is_second[c] is second for c in now.catalogue.cells[rows].tolist()]]
        expected = sorted(now.catalogue.mask_ids(own), key=sample_rank_of)
        chosen = [mask.mask_id for mask in side.masks]
        assert side.size == len(own) and len(chosen) >= min(_ENOUGH, len(own))
        assert chosen == expected[: len(chosen)]
        points = exemplars.points(side.masks)
        direct = stored.points(side.masks)
        assert points.sum(axis=0) == pytest.approx(direct.sum(axis=0), abs=1e-4)
        assert len(points) == len(direct) == len(np.unique(chosen))


def test_only_vectors_that_are_not_in_the_sample_are_read(browser):
    review = browser.review
    read = []

    class Reader(StoredExemplars):
        def points(self, masks):
            read.extend(mask.mask_id for mask in masks)
            return super().points(masks)

    sample = review.sample
    reader = Reader(review.output, sample.codebook, review.now.found)
    known = review.now.catalogue.located(sample.mask_ids[:3])
    fewer = replace(sample, mask_ids=sample.mask_ids[1:], points=sample.points[1:])
    exemplars = SampledExemplars(review.now, fewer, review.sample_rows[1:], reader)
    assert len(exemplars.points(known)) == 3
    assert read == [known[0].mask_id]
    assert len(exemplars.points(known[1:])) == 2 and len(read) == 1
