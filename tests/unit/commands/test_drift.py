import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from samseg.cli import main
from samseg.drift import METRICS, ClassDrift, ClassEvent, Drift
from samseg.output import Output
from samseg.stages.drift import write

CALM = Drift(
    "20261126T000000Z-aa",
    1,
    None,
    dict.fromkeys(METRICS, None) | {"new_masks": 1200, "noise": 0.25, "classes": 3},
)
CHANGED = replace(
    CALM,
    stamp="20261127T000000Z-bb",
    metrics=CALM.metrics | {"noise": 0.75, "noise_before": 0.25, "new_classes": 1},
    classes=(ClassDrift(2, "crates", 9, 9, drifted=True),),
    born=(ClassEvent(3, "class 3", 40),),
)


def run(output: Output, *options: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["drift", output.uri.removeprefix("file://"), *options])
    return int(ended.value.code)


@pytest.fixture
def folder(small_output: Callable[..., Any]) -> Output:
    output = small_output().output
    for night in (CHANGED, CALM):
        write(output, night)
    return output


def test_the_last_nights_are_a_table(folder: Output, capsys: pytest.CaptureFixture) -> None:
    assert run(folder) == 0
    printed = capsys.readouterr()
    title, before, last, *more = printed.err.splitlines()
    assert title.split()[:2] == ["night", "new"]
    assert before.split()[:3] == [CALM.stamp, "1,200", "0.25"]
    assert last.split()[:3] == [CHANGED.stamp, "1,200", "0.75"]
    assert more == ["new: class 3", "farther off than before: crates"]
    record = json.loads(printed.out)
    assert record["metrics"]["noise"] == 0.75 and record["stamp"] == CHANGED.stamp


@pytest.mark.parametrize(
    ("conditions", "code", "failed"),
    [
        ("noise>0.5,new_classes>20", 1, ["noise>0.5"]),
        ("noise>0.8,new_classes>20", 0, []),
        ("noise_change>0", 0, []),  # it has no value
        ("noise>0.5,new_classes>0", 1, ["noise>0.5", "new_classes>0"]),
    ],
)
def test_conditions_on_the_last_night_are_a_gate(
    folder: Output, conditions: str, code: int, failed: list, capsys: pytest.CaptureFixture
) -> None:
    assert run(folder, "--fail-on", conditions) == code
    record = json.loads(capsys.readouterr().out)
    assert (record["exit"], record["failed"]) == (code, failed)


@pytest.mark.parametrize("conditions", ["noise", "nois>1", ""])
def test_a_mistake_in_a_condition_is_one_in_the_command(
    folder: Output, conditions: str, capsys: pytest.CaptureFixture
) -> None:
    assert run(folder, "--fail-on", conditions) == 2
    assert "total_variation" in capsys.readouterr().err


def test_a_folder_without_drift_is_refused(
    small_output: Callable[..., Any], capsys: pytest.CaptureFixture
) -> None:
    assert run(small_output().output) == 2
    assert "drift.json" in capsys.readouterr().err
