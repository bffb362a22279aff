"""Conditions on the metrics of a night: `noise>0.5,new_classes>20`."""

import difflib
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from samseg.drift import METRICS
from samseg.errors import ConfigError

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_CONDITION = re.compile(
    r"\s*([a-z_]+)\s*(>=|<=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
)
_WANTED = "wanted METRIC>NUMBER, with commas between several; comparisons: > >= < <="


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of a metric with a number.

    Attributes:
        metric: one of `samseg.drift.METRICS`.
        comparison: `>`, `>=`, `<` or `<=`.
        bound: the number.
    """

    metric: str
    comparison: str
    bound: float

    def holds(self, metrics: Mapping[str, float | None]) -> bool:
        """Return whether the metric compares so; one without a value never does."""
        value = metrics.get(self.metric)
        return value is not None and _COMPARE[self.comparison](value, self.bound)

    def __str__(self) -> str:
        return f"{self.metric}{self.comparison}{self.bound:g}"


def conditions_in(text: str) -> list[Condition]:
    """Read conditions with commas between them.

    Raises:
        ConfigError: one is malformed, or its metric does not exist; all mistakes are named.
    """
    found: list[Condition] = []
    mistakes: list[str] = []
    for part in text.split(","):
        match = _CONDITION.fullmatch(part)
        if match is None:
            mistakes.append(f"got {part.strip()!r}, {_WANTED}")
        elif match[1] not in METRICS:
            mistakes.append(f"there is no metric {match[1]!r}{_close_to(match[1])}")
        else:
            found.append(Condition(match[1], match[2], float(match[3])))
    if mistakes:
        raise ConfigError("; ".join([*mistakes, f"metrics: {', '.join(METRICS)}"]))
    return found


def _close_to(name: str) -> str:
    close = difflib.get_close_matches(name, METRICS, 1)
    return f", did you mean {close[0]}?" if close else ""
