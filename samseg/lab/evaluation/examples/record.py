"""The record of an evaluation, written by `samseg eval examples --json FILE`."""

from typing import Literal

from pydantic import Field

from samseg.spec import Spec

COUNTS = (1, 3, 10)
"""Accepted examples of a category."""


class ExampleProtocol(Spec):
    """What is evaluated, and how often.

    Attributes:
        photos: use the first photos of each set, by name; None for all.
        segments: true segments per photo, the largest ones.
        min_area: true segments cover more than this fraction of their photo.
        min_segments: categories with fewer true segments are left out.
        draws: random halves of the photos: examples come from one half, and the masks of the other
            are ranked.
        least: true segments of a category among the ranked masks, at least.
        seed: of the draws.
    """

    photos: int | None = Field(default=None, ge=2)
    segments: int = Field(default=12, ge=1)
    min_area: float = Field(default=0.002, ge=0, lt=1)
    min_segments: int = Field(default=8, ge=1)
    draws: int = Field(default=10, ge=1)
    least: int = Field(default=3, ge=1)
    seed: int = Field(default=0, ge=0)


class MeanOverDraws(Spec):
    """A score: the mean over categories in each draw; then mean and deviation over the draws."""

    mean: float
    sd: float


class MembershipScores(Spec):
    """Which ranked masks are members, against the category; means over categories.

    Attributes:
        precision: share of the members that are of the category; 1 where there are no members.
        recall: share of the category's masks that are members.
        f1: harmonic mean of both, of each category.
    """

    precision: MeanOverDraws
    recall: MeanOverDraws
    f1: MeanOverDraws


class CountScores(Spec):
    """Scores with one number of examples.

    Attributes:
        accepted: number of accepted examples.
        precision_of: way of ranking -> average precision.
        members: by the rule of classes by example, of accepted masks alone, and with as many
            rejected ones.
    """

    accepted: int
    precision_of: dict[str, MeanOverDraws]
    members: dict[str, MembershipScores]


class ExampleScores(Spec):
    """Scores on one labelled set.

    Attributes:
        name: of the set.
        embedding: name of the embedding.
        photos: number of photos.
        masks: number of true segments.
        categories: categories that were searched for, on average over the draws.
        chance: average precision of a random order: the share of a category among the masks.
        counts: scores by number of examples.
    """

    name: str
    embedding: str
    photos: int
    masks: int
    categories: float
    chance: float
    counts: tuple[CountScores, ...]


class ExampleEvaluation(Spec):
    """One run of `samseg eval examples`.

    Attributes:
        version: version of the record's format.
        protocol: what was evaluated.
        sets: scores per set, in the order requested.
    """

    version: Literal[1] = 1
    protocol: ExampleProtocol
    sets: tuple[ExampleScores, ...]
