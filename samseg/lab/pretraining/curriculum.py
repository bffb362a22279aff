"""The position of a run in its curriculum, and the learning rate there.

A stage ends after its steps, or earlier when its time budget is spent. The learning rate follows
whichever is further along, so a run of limited time also ends with a low learning rate.
"""

import math
import time
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from samseg.lab.pretraining.settings import Pretraining

_FINAL_SHARE = 0.01
"""The final learning rate as a share of the maximum."""


@dataclass(slots=True)
class _Position:
    stage: int = 0
    step: int = 0  # within the stage
    seconds: float = 0.0  # of the whole run, without interruptions


class Curriculum:
    """The position of a run, in steps and in seconds."""

    def __init__(self, settings: Pretraining):
        """Start at the first stage."""
        self._settings, self._at = settings, _Position()
        self._planned = list(accumulate((s.steps for s in settings.stages), initial=0))
        minutes = [stage.minutes for stage in settings.stages]
        timed = [60 * m for m in minutes if m is not None]
        self._ends = list(accumulate(timed)) or None
        self._last = time.monotonic()

    @property
    def stage(self) -> int:
        """Index of the current stage; the number of stages when all are done."""
        return self._at.stage

    @property
    def step(self) -> int:
        """Steps taken in the current stage."""
        return self._at.step

    def count(self) -> None:
        """Count one step."""
        self._at.step += 1

    def is_over(self) -> bool:
        """Return whether the current stage has used up its steps or its time."""
        now = time.monotonic()
        self._at.seconds += now - self._last
        self._last = now
        if self._ends is not None and self._at.seconds >= self._ends[self._at.stage]:
            return True
        return self._at.step >= self._settings.stages[self._at.stage].steps

    def advance(self) -> None:
        """Move to the next stage."""
        self._at.stage, self._at.step = self._at.stage + 1, 0

    def learning_rate(self, taken: int) -> float:
        """Return the learning rate of the next step.

        Args:
            taken: steps taken since the start of the run, for the warm-up.
        """
        settings, at = self._settings, self._at
        done = (self._planned[at.stage] + at.step) / settings.steps
        if self._ends is not None:
            done = max(done, at.seconds / self._ends[-1])
        done = min(1.0, done)
        warmed = settings.learning_rate * min(1.0, (taken + 1) / max(1, settings.warmup))
        return warmed * (_FINAL_SHARE + (1 - _FINAL_SHARE) * (0.5 + 0.5 * math.cos(math.pi * done)))

    def state_dict(self) -> dict[str, Any]:
        """Return the position, for `load_state_dict`."""
        return asdict(self._at)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved position."""
        self._at = _Position(**state)
        self._last = time.monotonic()
