"""Random examples of categories, and the masks of other photos that are ranked by them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.lab.evaluation.examples.record import COUNTS, ExampleProtocol
from samseg.types import Bool, Int64

_BACKGROUND = 200
"""Random masks that stand for the rest of a lake."""


@dataclass(frozen=True, slots=True, eq=False)
class CategoryDraw:
    """Examples of one category in one half of the photos.

    Attributes:
        draw: number of the half.
        examples: rows of masks of the category, in random order; as many as the largest of
            `COUNTS` at least.
        others: rows of all masks of the other categories in the same photos.
        background: rows of random masks of the same photos, of any category.
        ranked: rows of all masks of the other photos.
        truth: which of `ranked` are of the category.
    """

    draw: int
    examples: Int64
    others: Int64
    background: Int64
    ranked: Int64
    truth: Bool


def category_draws(
    codes: Int64, photos: NDArray[np.str_], protocol: ExampleProtocol
) -> Iterator[CategoryDraw]:
    """Draw examples of every category with enough masks in both halves of the photos.

    Args:
        codes: (n,) category of each mask.
        photos: (n,) its photo.
        protocol: how often, and from which seed.
    """
    names = np.unique(photos)
    for draw in range(protocol.draws):
        rng = np.random.default_rng([protocol.seed, draw])
        inside = np.isin(photos, rng.permutation(names)[: len(names) // 2])
        own, ranked = np.flatnonzero(inside), np.flatnonzero(~inside)
        background = rng.permutation(own)[:_BACKGROUND]
        for category in np.unique(codes):
            examples = rng.permutation(own[codes[own] == category])
            truth = codes[ranked] == category
            if len(examples) >= max(COUNTS) and truth.sum() >= protocol.least:
                others = own[codes[own] != category]
                yield CategoryDraw(draw, examples, others, background, ranked, truth)
