import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samseg.lab.evaluation.classes.agreement import agreement

N = -1
PIXELS = np.array([[3, 1], [0, 4], [0, 0]])


@pytest.mark.parametrize(
    ("codes", "labels", "wanted"),
    [
        (
            [0, 0, 1, 1],
            [7, 7, 3, 3],
            {"classes": 2, "coverage": 1, "ami": 1, "ari": 1, "v_measure": 1}
            | {"purity": 1, "accuracy": 1},
        ),
        (
            [0, 0, 1, 1],
            [0, 0, 0, 0],
            {"classes": 1, "coverage": 1, "ami": 0, "ari": 0, "v_measure": 0}
            | {"purity": 0.5, "accuracy": 0.5},
        ),
        (
            [0, 0, 1, 1],
            [N, N, N, N],
            {"classes": 0, "coverage": 0, "ami": 0, "ari": 0, "purity": None, "accuracy": 0},
        ),
        # noise is a class to AMI and ARI, is wrong to accuracy, and does not count in purity
        (
            [0, 0, 1, 1],
            [5, 5, N, N],
            {"classes": 1, "coverage": 0.5, "ami": 1, "ari": 1, "purity": 1, "accuracy": 0.5},
        ),
        # two classes share a category: pure, but only the larger one is right
        (
            [0, 0, 0, 1, 1],
            [0, 0, 2, 1, 1],
            {"classes": 3, "purity": 1, "accuracy": 0.8},
        ),
        # the best naming is not that of the most common categories: 3 + 1 against 2 + 2
        (
            [0] * 3 + [1] * 2 + [0] * 2 + [1] * 1,
            [0] * 5 + [1] * 3,
            {"classes": 2, "purity": 5 / 8, "accuracy": 4 / 8},
        ),
    ],
    ids=["perfect", "one class", "all noise", "half noise", "split", "best naming"],
)
def test_known_tables(codes, labels, wanted):
    found = agreement(np.array(codes), np.array(labels), PIXELS).model_dump()
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-9)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=2, max_size=30),
    st.randoms(use_true_random=False),
)
def test_neither_order_nor_names_matter(pairs, random):
    codes, labels = np.array(pairs).T
    before = agreement(codes, labels, PIXELS)
    order = random.sample(range(len(pairs)), len(pairs))
    renamed = np.array(random.sample(range(10), 4))
    labels = np.where(labels == N, N, renamed[labels])
    after = agreement(renamed[codes][order], labels[order], PIXELS)
    assert after.model_dump() == pytest.approx(before.model_dump(), abs=1e-9)
