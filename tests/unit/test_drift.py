import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samseg.drift import METRICS, ClassDrift, ClassEvent, Drift, FarMask

TEXT = st.text(max_size=8)
COUNT = st.integers(0, 2**40)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
EVENTS = st.lists(
    st.builds(ClassEvent, COUNT, TEXT, COUNT, st.lists(COUNT, max_size=3).map(tuple)), max_size=3
).map(tuple)
FAR = st.lists(st.builds(FarMask, TEXT, TEXT, NUMBER), max_size=2).map(tuple)
CLASSES = st.lists(st.builds(ClassDrift, COUNT, TEXT, COUNT, COUNT, exemplars=FAR), max_size=3)
DRIFTS = st.builds(
    Drift,
    TEXT,
    st.none() | COUNT,
    st.none() | COUNT,
    st.fixed_dictionaries({name: st.none() | COUNT | NUMBER for name in METRICS}),
    CLASSES.map(tuple),
    EVENTS,
    EVENTS,
    EVENTS,
)


@given(DRIFTS)
def test_a_record_survives_json(drift: Drift) -> None:
    assert Drift.of_record(json.loads(json.dumps(drift.record()))) == drift


DRIFT = Drift("n", 1, None, dict.fromkeys(METRICS, 1))


def test_keys_of_later_versions_are_left_out_and_later_metrics_are_null() -> None:
    record = DRIFT.record() | {"later": 1}
    record["metrics"] = {"noise": 0.5, "later": 3}
    found = Drift.of_record(record)
    assert found.metrics == dict.fromkeys(METRICS, None) | {"noise": 0.5}


@pytest.mark.parametrize(
    "change", [{"stamp": None}, {"metrics": {"noise": "much"}}, {"classes": [1]}, {"born": 5}]
)
def test_damaged_records_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Drift.of_record(DRIFT.record() | change)
