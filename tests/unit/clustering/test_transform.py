import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from samseg.clustering.transform import Transform, unit

ROWS = hnp.arrays(np.float32, (6, 5), elements=st.floats(-10, 10, width=32))


def rows(n: int = 40, d: int = 8) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal((n, d)) + 2).astype(np.float32)


@given(ROWS)
@settings(deadline=None)
def test_unit_is_idempotent(points):
    once, valid = unit(points)
    twice, again = unit(once)
    assert (once == twice).all()
    assert (valid == again).all()
    assert np.linalg.norm(once[valid].astype(np.float64), axis=1) == pytest.approx(1)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, -np.inf])
def test_a_row_without_direction_is_invalid_and_does_not_affect_others(bad):
    embeddings = rows()
    broken = embeddings.copy()
    broken[3] = bad
    transform = Transform.fit(np.delete(embeddings, 3, axis=0))
    assert (Transform.fit(broken).mean == transform.mean).all()
    points, valid = transform.apply(broken)
    assert np.flatnonzero(~valid).tolist() == [3]
    assert not points[3].any()
    assert (points[valid] == transform.apply(embeddings)[0][valid]).all()


@pytest.mark.parametrize("scale", [1e-30, 0.3, 1e30])
def test_the_length_of_a_row_does_not_matter(scale):
    embeddings = rows()
    transform = Transform.fit(embeddings)
    scaled, valid = transform.apply((embeddings * scale).astype(np.float32))
    assert valid.all()
    assert scaled == pytest.approx(transform.apply(embeddings)[0], abs=2e-6)


def test_rows_are_transformed_independently():
    embeddings = rows()
    transform = Transform.fit(embeddings)
    whole = transform.apply(embeddings)[0]
    single = [transform.apply(embeddings[i : i + 1])[0][0] for i in range(len(embeddings))]
    assert (np.array(single) == whole).all()


def test_the_mean_is_removed_and_rows_equal_to_it_have_no_direction():
    embeddings = rows()
    points, _ = Transform.fit(embeddings).apply(embeddings)
    assert np.abs(points.mean(axis=0)).max() < 0.1 < np.abs(unit(embeddings)[0].mean(axis=0)).max()
    same = embeddings[:1].repeat(3, axis=0)
    assert not Transform.fit(same).apply(same)[1].any()


def test_without_centring_only_the_length_changes():
    embeddings = rows()
    assert (
        Transform.fit(embeddings, center=False).apply(embeddings)[0] == unit(embeddings)[0]
    ).all()


def test_serialisation_is_deterministic_and_round_trips():
    transform = Transform.fit(rows())
    assert transform.to_bytes() == Transform.fit(rows()).to_bytes()
    assert (Transform.from_bytes(transform.to_bytes()).mean == transform.mean).all()
