import time

import pytest

from samseg.lab.benchmark.timing import Ratio, Seconds, Speed, timed


def test_the_ratio_is_of_sums_of_medians_over_repeats():
    found = Ratio.of([[10.0, 30.0, 11.0], [1.0, 2.0, 9.0]], [[2.0, 2.0, 8.0], [1.0, 0.5, 0.5]])
    assert (found.reference_s, found.samseg_s) == (11.0 + 2.0, 2.0 + 0.5)
    assert found.ratio == pytest.approx(13 / 2.5)
    # per repeat: 11 / 3, 32 / 2.5, 20 / 8.5
    assert (found.low, found.high) == (pytest.approx(20 / 8.5), pytest.approx(12.8))


def test_one_repeat_has_no_range():
    found = Ratio.of([[6.0], [2.0]], [[1.0], [1.0]])
    assert (found.ratio, found.low, found.high) == (4.0, 4.0, 4.0)


def test_speed_compares_wall_and_cpu_time():
    def seconds(wall, cpu):
        return Seconds(wall=wall, cpu=cpu)

    speed = Speed.of([[seconds(4.0, 3.0)]], [[seconds(2.0, 0.5)]])
    assert (speed.wall.ratio, speed.cpu.ratio) == (2.0, 6.0)
    assert speed.reference == ((seconds(4.0, 3.0),),)


def test_sleep_takes_wall_time_and_no_cpu_time():
    result, took = timed(lambda: time.sleep(0.2) or "done")
    assert result == "done"
    assert took.wall >= 0.2 > 0.1 > took.cpu
