import pytest

from samseg.conditions import conditions_in
from samseg.drift import METRICS
from samseg.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "metrics", "holding"),
    [
        ("noise>0.5", {"noise": 0.5}, []),
        ("noise>=0.5", {"noise": 0.5}, ["noise>=0.5"]),
        ("noise>0.5", {"noise": None}, []),
        ("noise < .5", {"noise": 0.4}, ["noise<0.5"]),
        ("classes<=3", {"classes": 3}, ["classes<=3"]),
        ("noise>0.5,new_classes>20", {"noise": 0.9, "new_classes": 21}, None),
        ("noise>0.5, new_classes>20", {"noise": 0.1, "new_classes": 21}, ["new_classes>20"]),
        ("noise_change>-1e-1", {"noise_change": 0.0}, ["noise_change>-0.1"]),
    ],
)
def test_conditions(text: str, metrics: dict, holding: list | None) -> None:
    conditions = conditions_in(text)
    assert [str(c) for c in conditions if c.holds(metrics)] == (
        text.split(",") if holding is None else holding
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "got ''"),
        ("noise", "got 'noise'"),
        ("noise=0.5", "got 'noise=0.5'"),
        ("noise>half", "got 'noise>half'"),
        ("noise>0.5,", "got ''"),
        ("noise>0.5;classes>3", "got 'noise>0.5;classes>3'"),
        ("nois>0.5", "there is no metric 'nois', did you mean noise?"),
        ("zebra>0.5", "there is no metric 'zebra';"),
    ],
)
def test_mistakes_are_named_with_what_there_is(text: str, named: str) -> None:
    with pytest.raises(ConfigError) as raised:
        conditions_in(text)
    assert named in str(raised.value)
    assert str(raised.value).endswith(f"metrics: {', '.join(METRICS)}")


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"no metric 'a'.*got 'b'"):
        conditions_in("a>1,noise>1,b")
