import numpy as np
import pytest

from samseg.lab.evaluation.masks.structure import Structure


def embeddings(codes, rng, spread):
    """Return embeddings around one direction per code, far from the origin."""
    directions = rng.normal(size=(max(codes) + 1, 256))
    noise = spread * rng.normal(size=(len(codes), 256))
    return (5 + directions[codes] + noise).astype(np.float32)


def photos_of(n, photos=6):
    return [f"{i % photos}" for i in range(n)]


def test_separated_categories():
    rng = np.random.default_rng(0)
    codes = [0] * 20 + [1] * 15 + [2] * 12
    found = Structure.of(embeddings(codes, rng, 0.1), [f"c{c}" for c in codes], photos_of(47))
    assert (found.segments, found.categories) == (47, 3)
    assert found.kmeans_ami == pytest.approx(1)
    assert found.dbscan_ami == pytest.approx(1)
    assert found.neighbour_accuracy == 1


def test_random_embeddings():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 150)
    found = Structure.of(
        rng.normal(size=(150, 256)).astype(np.float32), codes.tolist(), photos_of(150)
    )
    assert abs(found.kmeans_ami) < 0.06
    assert abs(found.dbscan_ami) < 0.06
    assert found.neighbour_accuracy < 0.5


def test_rare_categories_are_excluded():
    rng = np.random.default_rng(0)
    codes = [0] * 9 + [1] * 8 + [2] * 7
    points = embeddings(codes, rng, 0.1)
    found = Structure.of(points, codes, photos_of(24))
    assert (found.segments, found.categories) == (17, 2)
    assert Structure.of(points[8:], codes[8:], photos_of(16)) is None


@pytest.mark.parametrize(
    ("codes", "photos"),
    [([], 1), ([0] * 20, 5), ([0] * 10 + [1] * 10, 1)],
    ids=["no segments", "one category", "one photo"],
)
def test_without_several_categories_and_photos(codes, photos):
    points = np.ones((len(codes), 256), np.float32)
    assert Structure.of(points, codes, photos_of(len(codes), photos)) is None
