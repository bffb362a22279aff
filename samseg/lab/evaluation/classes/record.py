"""The record of an evaluation, written by `samseg eval classes --json FILE`."""

from typing import Any, Literal

from pydantic import Field

from samseg.spec import Spec


class ClassProtocol(Spec):
    """What is evaluated, and how often.

    Attributes:
        photos: use the first photos of each set, by name; None for all.
        segments: true segments per photo, the largest ones.
        min_area: true segments cover more than this fraction of their photo.
        min_segments: categories with fewer true segments are left out.
        draws: random choices of photos that classes are fitted to again.
        share: fraction of the photos in each of these; the others are new to its classes.
        resamples: bootstrap resamples of the photos; 0 for no intervals.
        seed: of the draws and the resamples.
    """

    photos: int | None = Field(default=None, ge=1)
    segments: int = Field(default=12, ge=1)
    min_area: float = Field(default=0.002, ge=0, lt=1)
    min_segments: int = Field(default=8, ge=1)
    draws: int = Field(default=10, ge=0)
    share: float = Field(default=0.7, gt=0, lt=1)
    resamples: int = Field(default=1000, ge=0)
    seed: int = Field(default=0, ge=0)


class ClassAgreement(Spec):
    """ClassAgreement of classes with true categories, over the masks that have a category.

    Attributes:
        classes: number of classes found.
        coverage: fraction of the masks that have a class.
        ami: adjusted mutual information; noise counts as one class, as in the next two.
        ari: adjusted Rand index.
        v_measure: harmonic mean of homogeneity and completeness.
        purity: fraction of the masks with a class whose category is the most common in it; None if
            there is no class.
        accuracy: fraction of the masks that are right if each class is given at most one category
            and each category one class, in the best way. Noise is wrong.
        miou: mean intersection over union of label maps drawn from the masks, over the categories,
            where classes are given categories in the same way, by pixels.
        miou_shared: the same where each class is given the category of most of its pixels, so that
            several classes can share one.
    """

    classes: int
    coverage: float
    ami: float
    ari: float
    v_measure: float
    purity: float | None
    accuracy: float
    miou: float
    miou_shared: float


class Redrawn(Spec):
    """Classes fitted to random choices of photos; means and standard deviations over the draws.

    Attributes:
        ami: AMI of the masks of the chosen photos.
        ami_sd: its standard deviation: how stable classes are.
        new_coverage: fraction of the masks of the other photos that are assigned a class.
        new_ami: AMI of these masks.
        new_ami_sd: its standard deviation.
        kept: after a refit to all photos, fraction of the masks with a class that keep its id.
        named_right: fraction of all masks that then have a class whose name, given before, is
            right.
        named_wrong: fraction of those whose class has another name.
    """

    ami: float
    ami_sd: float
    new_coverage: float
    new_ami: float
    new_ami_sd: float
    kept: float
    named_right: float
    named_wrong: float


class Interval(Spec):
    """A 95 % interval by a bootstrap over photos; classes are not fitted again."""

    low: float
    high: float


class RowScores(Spec):
    """Scores of one embedding with one fit.

    Attributes:
        name: of the row.
        fit: settings of the fit, as stored in a codebook.
        free: agreement of the classes that the fit finds.
        true_k: agreement of k-means with as many classes as there are categories.
        neighbours: fraction of the masks whose category is the majority among the 5 nearest masks
            of other photos; None with a single photo.
        redrawn: classes fitted to some of the photos; None without draws.
        intervals: by measure: `ami`, `accuracy`, `miou` and `neighbours`.
    """

    name: str
    fit: dict[str, Any]
    free: ClassAgreement
    true_k: ClassAgreement
    neighbours: float | None
    redrawn: Redrawn | None
    intervals: dict[str, Interval]


class ClassScores(Spec):
    """Scores on one labelled set or output folder.

    Attributes:
        name: of the set, or address of the folder.
        masks: `true segments` or `automatic masks`.
        photos: photos with such masks.
        evaluated: masks that have a category.
        rare: masks whose category has too few true segments; not scored.
        unmatched: masks without a true segment; not scored.
        categories: names of the categories.
        merged: groups of categories that count as one.
        ceiling: mIoU of the label maps if every mask has its true category.
        missing: photos of the labels that the output folder lacks.
        rows: scores.
        seconds: wall time.
    """

    name: str
    masks: Literal["true segments", "automatic masks"]
    photos: int
    evaluated: int
    rare: int
    unmatched: int
    categories: tuple[str, ...]
    merged: tuple[tuple[str, ...], ...]
    ceiling: float
    missing: tuple[str, ...]
    rows: tuple[RowScores, ...]
    seconds: float


class ClassEvaluation(Spec):
    """One run of `samseg eval classes`.

    Attributes:
        version: version of the record's format.
        protocol: what was evaluated.
        sets: scores per set, in the order requested.
    """

    version: Literal[1] = 1
    protocol: ClassProtocol
    sets: tuple[ClassScores, ...]
