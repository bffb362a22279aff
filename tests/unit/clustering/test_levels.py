"""Rare classes, and the same tree cut again."""

import numpy as np
import pytest

from samseg.clustering import Linkage, levels, linkage
from samseg.clustering.hierarchy import Hierarchy
from samseg.clustering.levels import cut_again, fit_in_levels
from samseg.clustering.prototypes import prototypes_of
from samseg.clustering.sample import FitSample
from samseg.clustering.transform import Transform, unit

STRATEGY = Linkage(threshold=0.6)


class Lake:
    """Masks of a few large classes and a rare one; samples of it are its first masks.

    Attributes:
        rare: the rows of the rare class.
        sampled: how often the rest of the lake was sampled.
    """

    def __init__(self, masks: int = 20_000, rare: int = 8, d: int = 32, classes: int = 6):
        g = np.random.default_rng(0)
        directions = np.linalg.qr(g.standard_normal((d, classes + 1)))[0].T
        kind = g.integers(0, classes, masks)
        self.rare = np.sort(g.choice(np.arange(masks // 2, masks), rare, replace=False))
        kind[self.rare] = classes
        points = directions[kind] + 0.5 / np.sqrt(d) * g.standard_normal((masks, d))
        self.embeddings = points.astype(np.float32)
        self.sampled = 0

    def take(self, rows: np.ndarray) -> FitSample:
        ids = [f"image{row // 9}-{row:06d}" for row in rows]
        return FitSample(ids, ids, self.embeddings[rows], np.full(len(rows), -1, np.int32))

    def first(self, size: int) -> FitSample:
        return self.take(np.arange(min(size, len(self.embeddings))))

    def rest(self, size: int):
        def resample(left_out):
            rows = np.flatnonzero(left_out(self.embeddings))
            self.sampled += 1
            return self.take(rows[:size]), len(rows)

        return resample


def fitted(lake: Lake, size: int, resample=None):
    sample = lake.first(size)
    transform = Transform.fit(sample.embeddings)
    masks = len(lake.embeddings)
    fit = fit_in_levels(STRATEGY, sample, transform, masks, resample is None)
    return levels.fitted(fit, resample), transform


def classes_of(found, transform, embeddings) -> np.ndarray:
    prototypes = prototypes_of(found.fit, found.points, found.sample.mask_ids, found.weights)
    return prototypes.assign(transform.apply(embeddings)[0])


def test_a_class_that_the_sample_has_no_mask_of_is_found():
    lake = Lake()
    first, transform = fitted(lake, 2000)
    assert (classes_of(first, transform, lake.embeddings[lake.rare]) == -1).all()
    found, transform = fitted(lake, 2000, lake.rest(2000))
    of_rare = classes_of(found, transform, lake.embeddings[lake.rare])
    assert len(set(of_rare)) == 1 and of_rare[0] != -1
    assert found.fit.classes == first.fit.classes + 1
    assert (classes_of(found, transform, lake.embeddings) == of_rare[0]).sum() == 8


def test_one_mask_in_a_hundred_thousand(monkeypatch):
    monkeypatch.setattr(linkage, "CELLS", 200)
    monkeypatch.setattr(levels, "MORE_CELLS", 100)
    lake = Lake(masks=600_000, rare=6, d=16)
    found, transform = fitted(lake, 20_000, lake.rest(20_000))
    of_rare = classes_of(found, transform, lake.embeddings[lake.rare])
    assert len(set(of_rare)) == 1 and of_rare[0] != -1
    assert (classes_of(found, transform, lake.embeddings) == of_rare[0]).sum() == 6


def test_what_is_left_of_a_class_joins_it_again():
    """The masks beyond the radius of a class are a percent of it, and no class of their own."""
    lake = Lake(rare=0)
    first, _ = fitted(lake, 2000)
    found, _ = fitted(lake, 2000, lake.rest(2000))
    assert lake.sampled == 1
    assert found.fit.classes == first.fit.classes == 6


def test_masks_of_each_level_stand_for_the_whole_lake():
    lake = Lake()
    found, _ = fitted(lake, 2000, lake.rest(2000))
    assert found.weights.sum() == pytest.approx(2000, rel=0.01)
    assert len(set(found.sample.mask_ids)) == len(found.sample)
    assert found.weights.min() == pytest.approx(2000 / 20_000)


def test_a_level_in_memory_finds_what_cells_have_mixed(monkeypatch):
    monkeypatch.setattr(linkage, "CELLS", 12)
    lake = Lake(masks=4000)
    found, transform = fitted(lake, 4000)
    of_rare = classes_of(found, transform, lake.embeddings[lake.rare])
    assert len(set(of_rare)) == 1 and of_rare[0] != -1
    assert found.fit.classes == 7


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_masks_without_a_direction_are_in_no_level(bad):
    lake = Lake()
    lake.embeddings[[3, 15_000]] = bad
    found, _ = fitted(lake, 2000, lake.rest(2000))
    assert found.fit.invalid == 1
    assert found.fit.classes == 7


@pytest.mark.parametrize("masks", [0, 1, 4])
def test_hardly_any_masks(masks):
    lake = Lake(masks=masks, rare=0)
    found, _ = fitted(lake, 10)
    assert found.fit.classes == 0
    assert len(found.sample) == masks


def test_another_cut_of_the_tree_keeps_rare_classes():
    lake = Lake()
    found, transform = fitted(lake, 2000, lake.rest(2000))
    vectors, _ = unit(found.fit.cells.means)
    sizes = np.bincount(found.fit.cells.of_point)
    hierarchy = Hierarchy(found.fit.tree, vectors, sizes, STRATEGY.threshold)
    for height, least in ((0.6, 7), (0.3, 7), (1.9, 1)):
        strategy = Linkage(threshold=height)
        sample, masks = lake.first(2000), len(lake.embeddings)
        cut = cut_again(strategy, sample, transform, hierarchy, masks, whole=False)
        again = levels.fitted(cut, lake.rest(2000))
        assert again.fit.classes >= least
        if height < 1:
            of_rare = set(classes_of(again, transform, lake.embeddings[lake.rare]))
            assert -1 not in of_rare
            others = np.delete(np.arange(masks), lake.rare)[:3000]
            assert not of_rare & set(classes_of(again, transform, lake.embeddings[others]))
