"""The curriculum: stages that end by steps or by the clock, and the learning rate."""

from itertools import pairwise

import pytest

from samseg.lab.pretraining import curriculum
from samseg.lab.pretraining.curriculum import Curriculum
from samseg.lab.pretraining.settings import Pretraining


class Clock:
    """Replaces the module's clock."""

    def __init__(self):
        self.seconds = 1000.0

    def monotonic(self):
        return self.seconds


@pytest.fixture
def clock(monkeypatch):
    replacement = Clock()
    monkeypatch.setattr(curriculum, "time", replacement)
    return replacement


def settings(*stages, warmup=0):
    given = [{"steps": s, "window": 128} | ({"minutes": m} if m else {}) for s, m in stages]
    return Pretraining(output="run", stages=given, learning_rate=1.0, warmup=warmup)


def run(settings, clock, seconds_per_step):
    """Take all steps; return the number of steps of each stage and the learning rates."""
    position, taken, rates = Curriculum(settings), [0] * len(settings.stages), []
    while position.stage < len(settings.stages):
        while not position.is_over():
            rates.append(position.learning_rate(sum(taken)))
            taken[position.stage] += 1
            clock.seconds += seconds_per_step
            position.count()
        position.advance()
    return taken, rates


@pytest.mark.parametrize(
    ("stages", "seconds_per_step", "taken"),
    [
        ([(3, None), (2, None)], 1000, [3, 2]),
        ([(100, 1), (100, 2)], 10, [6, 12]),  # by the clock
        ([(2, 1), (100, 2)], 10, [2, 16]),  # the second stage gets what the first one left
        ([(100, 1), (100, 1)], 50, [2, 1]),  # ends are absolute: one late step shortens the next
        ([(100, 1), (100, 1)], 200, [1, 0]),
    ],
)
def test_stages_end_by_steps_or_by_the_clock(clock, stages, seconds_per_step, taken):
    assert run(settings(*stages), clock, seconds_per_step)[0] == taken


@pytest.mark.parametrize("minutes", [None, 1])
def test_the_learning_rate_falls_to_the_end(clock, minutes):
    _, rates = run(settings((30, minutes), (30, minutes)), clock, seconds_per_step=4)
    assert rates[0] == 1.0
    assert all(later < earlier for earlier, later in pairwise(rates))
    assert 0.01 <= rates[-1] < 0.03


def test_warm_up_is_linear(clock):
    _, rates = run(settings((1000, None), warmup=4), clock, seconds_per_step=1)
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=1e-3)


def test_an_interruption_takes_no_time(clock):
    timed = settings((100, 1), (100, 1))
    before = Curriculum(timed)
    clock.seconds += 50
    assert not before.is_over()
    before.count()
    clock.seconds += 3600
    after = Curriculum(timed)
    after.load_state_dict(before.state_dict())
    assert (after.stage, after.step) == (0, 1)
    clock.seconds += 9
    assert not after.is_over()
    clock.seconds += 2
    assert after.is_over()
