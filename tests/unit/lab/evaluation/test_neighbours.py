import numpy as np
import pytest

from samseg.lab.evaluation.neighbours import neighbour_hits


def test_neighbours_of_the_same_photo_are_excluded():
    """Each photo has its own directions per category: separable within it, not across photos."""
    rng = np.random.default_rng(0)
    codes = np.arange(48) % 2
    photos = np.repeat(np.arange(6), 8)
    points = rng.normal(size=(6, 2, 32))[photos, codes] + 0.01 * rng.normal(size=(48, 32))
    unit = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    nearest = np.argsort(-(unit @ unit.T), axis=1)[:, 1]
    assert (codes[nearest] == codes).all()
    assert neighbour_hits(unit, codes, photos).mean() < 0.8


@pytest.mark.parametrize(
    ("others", "correct"),
    [([1, 1, 0, 0, 2], True), ([0, 0, 1, 1, 2], False), ([0, 0, 1, 1, 1], True)],
    ids=["tie, nearer", "tie, farther", "majority, farther"],
)
def test_the_majority_decides_and_ties_go_to_the_nearer(others, correct):
    angles = np.deg2rad([0, 1, 2, 10, 11, 40])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    codes = np.array([1, *others])
    hits = neighbour_hits(points, codes, np.array([0, 1, 1, 1, 1, 1]))
    matching = others.count(1)  # the only neighbour of each other point is the first
    assert hits[0] == correct and hits[1:].sum() == matching
