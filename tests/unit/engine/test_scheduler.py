"""The rules of the scheduler, one by one."""

import pytest

from samseg.engine.failure import Failure
from samseg.engine.protocol import Attempt
from samseg.engine.scheduler import Scheduler
from samseg.errors import OutageError, StorageError

from .scheduling import IMAGES, Drawn, die, scheduler, task, value_of


def test_no_tasks_no_work():
    s = scheduler(0, "a")
    assert s.finished and not s.needs(1) and s.assign("a", 0.0) is None


def test_unfinished_tasks_are_counted_as_far_as_asked():
    s = scheduler(3, "a")
    assert [s.unfinished(most) for most in (0, 2, 3, 4)] == [0, 2, 3, 3]
    _, attempt = s.assign("a", 0.0)
    assert s.unfinished(4) == 3
    s.succeeded("a", value_of(attempt))
    assert s.unfinished(4) == 2


def test_each_worker_gets_its_own_task_and_then_the_announced_one():
    s = scheduler(5, "ab")
    first, hinted = s.assign("a", 0.0)
    assert (first, hinted.upcoming) == (task(0), task(1))
    assert s.assign("b", 0.0)[0] == task(2)
    s.succeeded("a", value_of(hinted))
    assert s.assign("a", 1.0)[0] == task(1)


def test_few_tasks_are_spread_rather_than_reserved():
    s = scheduler(2, "ab")
    task_a, attempt_a = s.assign("a", 0.0)
    task_b, _ = s.assign("b", 0.0)
    assert attempt_a.upcoming is None and task_a != task_b


def test_an_idle_worker_takes_over_a_reservation():
    s = scheduler(4, "ab")
    _, a = s.assign("a", 0.0)
    _, b = s.assign("b", 0.0)
    s.succeeded("b", value_of(b))
    _, b = s.assign("b", 1.0)
    s.succeeded("b", value_of(b))
    assert b.upcoming is None
    assert s.assign("b", 2.0)[0] == a.upcoming
    s.succeeded("b", value_of(b))
    assert s.assign("b", 3.0) is None


def test_errors_pause_twice_as_long_each_time_and_then_give_up():
    s = scheduler(1, "a")
    for number, due in ((1, 8.0), (2, 16.0)):
        _, attempt = s.assign("a", 0.0 if number == 1 else 1000.0)
        assert (attempt.number, attempt.exact) == (number, False)
        now = 1000.0 * (number - 1)
        assert s.failed("a", Failure("store is down", kind=StorageError), now) is None
        assert s.pause(now) == due
        assert s.assign("a", now + due - 0.1) is None
    s.assign("a", 2000.0)
    result = s.failed("a", Failure("store is down", kind=StorageError), 2000.0)
    assert result.value is None and s.finished
    assert result.failures == tuple(f"attempt {i}: store is down" for i in (1, 2, 3))


def test_an_outage_ends_the_run_and_gives_no_task_up():
    """Whatever an image is, an outage says nothing about it."""
    s = scheduler(1, "a")
    down = Failure("the lake does not answer", kind=OutageError)
    for now in (0.0, 1000.0):
        s.assign("a", now)
        assert s.failed("a", down, now) is None
    s.assign("a", 2000.0)
    with pytest.raises(OutageError, match="the lake does not answer"):
        s.failed("a", down, 2000.0)


def test_an_outage_that_passes_costs_attempts_only():
    s = scheduler(1, "a")
    s.assign("a", 0.0)
    s.failed("a", Failure("the lake does not answer", kind=OutageError), 0.0)
    _, attempt = s.assign("a", 1000.0)
    assert attempt.number == 2
    assert s.succeeded("a", value_of(attempt)).value == {"ok": IMAGES}


def test_pauses_are_bounded():
    s = scheduler(1, "a", attempts=40)
    for i in range(39):
        s.assign("a", i * 100.0)
        s.failed("a", Failure("again"), i * 100.0)
        assert s.pause(i * 100.0) <= 60.0


def test_an_error_without_retry_gives_up_at_once():
    s = scheduler(1, "a")
    s.assign("a", 0.0)
    result = s.failed("a", Failure("bad tar", retry=False), 0.0)
    assert (result.value, result.failures) == (None, ("attempt 1: bad tar",))


def test_many_waiting_tasks_hold_back_new_ones():
    tasks = Drawn(1000)
    s = Scheduler(tasks, attempts=5, backoff_s=10.0)
    s.join("a")
    now = 0.0
    while s.assign("a", now):
        s.failed("a", Failure("store is down", kind=StorageError), now)
        now += 0.01
    assert tasks.drawn < 6


def test_an_image_is_put_off_and_skipped_if_workers_die_at_it_there_too():
    s = scheduler(1, "a")
    seen = []
    for _ in range(4):
        seen.append(s.assign("a", 0.0)[1])
        assert die(s, "a", 4) is None
    seen.append(s.assign("a", 0.0)[1])
    four = frozenset({4})
    assert seen == [
        Attempt(1),
        Attempt(1, exact=True),
        Attempt(1, exact=True),
        Attempt(1, exact=True, last=four),
        Attempt(1, exact=True, last=four, skip=four),
    ]


def test_kills_from_outside_cost_nothing():
    """Ten of them, each at the second image of an attempt, whatever that is."""
    s = scheduler(1, "a")
    for _ in range(10):
        _, attempt = s.assign("a", 0.0)
        order = [i for i in range(IMAGES) if i not in attempt.last] + sorted(attempt.last)
        assert die(s, "a", order[1]) is None
    _, attempt = s.assign("a", 0.0)
    assert (attempt.number, attempt.skip) == (1, frozenset())


def test_deaths_together_blame_nothing_as_often_as_a_task_has_attempts():
    s = scheduler(1, "a")
    for number in (1, 1, 1, 1, 2, 3):
        assert s.assign("a", 0.0)[1].number == number
        result = s.died("a", "killed", 0.0, alone=False)
        s.join("a")
    assert result.value is None and len(result.failures) == 6


def test_a_defect_triggered_by_one_image_costs_no_other_image():
    s = scheduler(1, "a")
    now, seen = 0.0, []
    for _ in range(3):
        seen.append(s.assign("a", now)[1])
        s.heartbeat("a", now, 4)
        assert s.failed("a", Failure("ValueError: odd shape"), now) is None
        now += 100.0
    seen.append(s.assign("a", now)[1])
    assert seen == [
        Attempt(1),
        Attempt(2, exact=True),
        Attempt(3, exact=True),
        Attempt(1, skip=frozenset({4}), exact=True),
    ]


@pytest.mark.parametrize(
    "indices",
    [
        pytest.param([None, None, None], id="before any image"),
    ],
)
def test_deaths_not_attributable_to_an_image_give_the_task_up(indices):
    s = scheduler(1, "a")
    results = []
    for index in indices:
        assert s.assign("a", 0.0)
        results.append(die(s, "a", index))
    assert results[:2] == [None, None] and results[2].value is None
    assert "near" not in results[2].failures[-1]


def test_the_last_image_of_another_task_is_not_blamed():
    s = scheduler(2, "a")
    s.assign("a", 0.0)
    die(s, "a", 1)
    other = s.assign("a", 0.0)  # what the dead worker had prefetched
    s.heartbeat("a", 0.0, IMAGES)
    s.succeeded("a", value_of(other[1]))
    for _ in range(3):
        s.assign("a", 0.0)
        result = die(s, "a", None)
    assert result.failures == (
        "attempt 1: died near item 1",
        *(f"attempt {i}: died" for i in (2, 3, 4)),
    )


def test_dying_at_a_skipped_image_is_no_progress():
    s = scheduler(1, "a")
    deaths = 0
    while s.assign("a", 0.0) and die(s, "a", 4) is None:
        deaths += 1
        assert deaths < 20
    assert deaths == 6  # near 4; at 4, at 4: put off; at 4: skipped; at 4 again, three times


def test_a_machine_that_breaks_everything_skips_few_images():
    s = scheduler(1, "a", attempts=3)
    index, skipped = 0, frozenset()
    for _ in range(100):
        _, attempt = s.assign("a", 0.0)
        skipped = attempt.skip
        index = min(set(range(1000)) - skipped)
        if die(s, "a", index):
            break
    assert len(skipped) == 3 and s.finished


def test_tasks_of_a_node_that_left_keep_their_attempts():
    s = scheduler(3, "a")
    first, before = s.assign("a", 0.0)
    s.heartbeat("a", 1.0, 3)
    s.left("a", 2.0)
    s.join("b")
    assert s.assign("b", 3.0)[0] == first
    s.left("b", 4.0)
    s.join("c")
    again = [s.assign("c", 5.0)]
    s.succeeded("c", value_of(again[0][1]))
    again.append(s.assign("c", 6.0))
    assert {job[0] for job in again} == {first, before.upcoming}
    assert all((job[1].number, job[1].exact) == (1, False) for job in again)


def test_a_waiting_task_is_not_starved():
    s = scheduler(100, "a")
    first, _ = s.assign("a", 0.0)
    s.failed("a", Failure("flaky"), 0.0)
    turns = 0
    job = s.assign("a", 100.0)
    while job[0] != first:
        s.succeeded("a", value_of(job[1]))
        job = s.assign("a", 100.0)
        turns += 1
    assert turns <= 1


def test_only_busy_or_starting_workers_are_unresponsive():
    s = scheduler(3, "abc")
    s.assign("a", 0.0)
    s.assign("b", 0.0)
    s.heartbeat("b", 60.0, 1)
    assert s.unresponsive(100.0) == [] and s.unresponsive(101.0) == ["a"]
    s.heartbeat("c", 5.0)  # starting
    assert s.unresponsive(106.0) == ["a", "c"]
    s.idle("c")
    assert s.unresponsive(1000.0) == ["a", "b"]
