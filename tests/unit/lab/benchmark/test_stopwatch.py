import time
from types import SimpleNamespace

import pytest

from samseg.lab.benchmark.breakdown import HEAD, REST, stage_times
from samseg.lab.benchmark.stopwatch import Stopwatch
from samseg.lab.benchmark.tasks import Workload


def test_nested_time_counts_for_the_inner_stage():
    def inner():
        time.sleep(0.1)

    def outer():
        time.sleep(0.05)
        work.inner()
        work.inner()
        time.sleep(0.05)

    work = SimpleNamespace(inner=inner, outer=outer)
    watch = Stopwatch()
    with watch.watching([(work, "outer", "out"), (work, "inner", "in")]):
        work.outer()
    assert watch.seconds["out"] == pytest.approx(0.1, abs=0.05)
    assert watch.seconds["in"] == pytest.approx(0.2, abs=0.05)
    assert (work.inner, work.outer) == (inner, outer)


def test_an_exception_closes_its_stage():
    def fail():
        raise ValueError

    work = SimpleNamespace(fail=fail, rest=lambda: time.sleep(0.05))
    watch = Stopwatch()
    with watch.watching([(work, "fail", "bad"), (work, "rest", "good")]):
        with pytest.raises(ValueError):
            work.fail()
        time.sleep(0.2)
        work.rest()
    assert watch.seconds["bad"] < 0.05 <= watch.seconds["good"] < 0.2


def test_stages_are_medians_per_image_or_prompt():
    def watch(**seconds):
        found = Stopwatch()
        found.seconds.update({"image encoder": 1.0, **seconds})
        return found

    reference = [watch(**{HEAD: s}) for s in (5.0, 4.0, 90.0)]
    times = stage_times(reference, [watch(**{HEAD: 0.5})], Workload(encodings=2, prompts=10))
    by_name = {t.stage: (t.unit, t.reference_ms, t.samseg_ms) for t in times}
    assert by_name["image encoder"] == ("image", 500.0, 500.0)
    assert by_name[HEAD] == ("prompt", 500.0, 50.0)
    assert by_name[REST] == ("prompt", 0.0, 0.0)
