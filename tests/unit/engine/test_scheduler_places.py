"""Places of workers: GPUs at fault, and retries elsewhere."""

from samseg.engine.failure import Failure

from .scheduling import scheduler, value_of


def at_gpus(s, *workers):
    for worker in workers:
        s.placed(worker, f"gpu {worker}")


def fail(s, worker, now):
    """Take a task, fail with an error of the device, and be replaced at the same place."""
    found, _ = s.assign(worker, now)
    s.heartbeat(worker, now, 0)
    assert s.failed(worker, Failure("CUDA error"), now) is None
    s.left(worker, now)
    s.join(worker)
    at_gpus(s, worker)
    return found


def test_a_place_at_fault_gets_no_work_and_costs_no_task_its_attempts():
    s = scheduler(9, "ab", backoff_s=0.0)
    at_gpus(s, "a", "b")
    for now in (1.0, 2.0):
        assert not s.at_fault("a")
        failed = fail(s, "a", now)
        found, attempt = s.assign("b", now + 0.1)
        while found != failed:
            s.succeeded("b", value_of(attempt))
            found, attempt = s.assign("b", now + 0.1)
        assert (attempt.number, attempt.skip) == (2, frozenset())
        s.succeeded("b", value_of(attempt))
    assert s.at_fault("a") and s.assign("a", 9.0) is None
    assert not s.at_fault("b") and s.assign("b", 9.0)


def test_a_task_goes_to_a_place_where_it_has_not_failed_while_there_is_one():
    s = scheduler(1, "ab", backoff_s=0.0)
    at_gpus(s, "a", "b")
    fail(s, "a", 0.0)
    assert s.assign("a", 1.0) is None
    fail(s, "b", 1.0)
    assert s.assign("a", 2.0), "there is no other place"
