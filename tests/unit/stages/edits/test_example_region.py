"""The region of a class by example."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samseg.clustering.codebook import Class, Codebook
from samseg.clustering.prototypes import Prototypes
from samseg.clustering.transform import Transform
from samseg.stages.edits.example_region import region_of

D = 16


def codebook(*radii):
    classes = tuple(
        Class(i, "active", 5, radius, "", np.zeros(D, np.float32), 1)
        for i, radius in enumerate(radii)
    )
    prototypes = Prototypes((), np.zeros(0, np.int32), np.zeros((0, D), np.float32), np.zeros(0))
    transform = Transform(np.zeros(D))
    return Codebook(1, "r", None, transform, 0.0, prototypes, classes, {}, {})


def around(seed, count, spread):
    g = np.random.default_rng(seed)
    return (np.eye(D)[0] + spread * g.normal(size=(count, D))).astype(np.float32)


NONE = np.zeros((0, D), np.float32)


def test_one_example_has_the_scale_of_the_codebook():
    region = region_of(codebook(0.1, 0.3, 0.5), around(0, 1, 0.1), NONE)
    assert region.radius == pytest.approx(0.3, abs=1e-5)


def test_masks_that_are_alike_narrow_the_region_a_little_only():
    radii = [region_of(codebook(0.5), around(1, count, 0.05), NONE).radius for count in (1, 2, 64)]
    assert radii == pytest.approx([0.5, 0.45, 0.45], abs=1e-5)


def test_masks_unlike_each_other_have_a_wider_region():
    radii = [region_of(codebook(0.1), around(2, 6, s), NONE).radius for s in (0.05, 0.2, 0.5)]
    assert radii == sorted(radii)


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 6), st.floats(0.01, 1.0))
def test_rejected_masks_are_farther_off_than_without_their_rejection(seed, n, m, spread):
    accepted, rejected = around(seed, n, spread), around(seed + 5000, m, 1.0)
    book = codebook(0.4)
    before, after = (region_of(book, accepted, no) for no in (NONE, rejected))
    points = book.transform.apply(rejected)[0]
    assert after.distances(points).mean() >= before.distances(points).mean() - 1e-9


@given(st.integers(0, 1000), st.floats(0.1, 100))
def test_positive_scaling_of_a_vector_changes_nothing(seed, scale):
    book, accepted = codebook(0.4), around(seed, 5, 0.2)
    one = region_of(book, accepted, NONE)
    other = region_of(book, accepted * np.float32(scale), NONE)
    assert other.radius == pytest.approx(one.radius, abs=1e-5)
    assert other.direction == pytest.approx(one.direction, abs=1e-5)


@pytest.mark.parametrize("vectors", [NONE, np.zeros((2, D), np.float32), -around(0, 1, 0)[:0]])
def test_examples_without_a_direction_have_no_region(vectors):
    assert region_of(codebook(0.4), vectors, NONE) is None


def test_without_classes_one_example_takes_only_masks_equal_to_it():
    assert region_of(codebook(), around(0, 1, 0.1), NONE).radius < 1e-5
