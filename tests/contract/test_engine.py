"""The contract of every engine, tested on each implementation."""

import sys
from collections import Counter
from itertools import pairwise

import pytest

from samseg.engine import Local, RayPool
from samseg.engine.protocol import Heartbeat, Result, Task, Workers
from samseg.errors import CheckpointError, DeviceError, ShardError, StorageError, WorkersError

IMAGES = 3


def task(i):
    return Task(f"task-{i}", i)


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def engine(request):
    """Return each engine in turn, without backoff and with short timeouts."""
    if request.param == "local":
        return Local(backoff_s=0.0, attempts=3)
    request.getfixturevalue("ray_cluster")
    import ray

    # the workers cannot import test modules
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return RayPool(
        workers=2, cpus_per_worker=1, backoff_s=0.0, attempts=3, silence_s=30.0, start_failures=2
    )


def build_with(fault=lambda i, attempt, index: None):
    """Return a build whose work calls `fault` before each image."""

    def build(slot):
        def work(task, attempt):
            for index in range(IMAGES):
                yield Heartbeat(task.id, index, {"masks": 10 * index})
                fault(task.payload, attempt, index)
            return {"ok": IMAGES, "of": task.payload}

        return work

    return build


def run(engine, build, n, device="cpu"):
    """Run n tasks, check the invariants of every run, and return the results by task number."""
    tasks = [task(i) for i in range(n)]
    events = list(engine.map(build, iter(tasks), device))
    if n:
        first = next(i for i, e in enumerate(events) if not isinstance(e, Workers))
        assert any(e.ready for e in events[:first]), "a task ran before any worker was ready"
    events = [e for e in events if not isinstance(e, Workers)]
    results = [e for e in events if isinstance(e, Result)]
    assert sorted(r.task.payload for r in results) == list(range(n))
    for result in results:
        of_task = [
            e
            for e in events
            if (e.task_id if isinstance(e, Heartbeat) else e.task.id) == result.task.id
        ]
        assert of_task[-1] is result, "an event follows the result of its task"
        indices = [e.index for e in of_task[:-1]]
        assert indices and indices[0] == 0
        assert all(b > a or b == 0 for a, b in pairwise(indices))
    return {r.task.payload: r for r in results}


def test_no_tasks(engine):
    assert run(engine, build_with(), 0) == {}


def test_every_task_has_one_result_with_its_value(engine):
    found = run(engine, build_with(), 7)
    for i, result in found.items():
        assert result == Result(task(i), {"ok": IMAGES, "of": i})


def count_words(slot):
    """Build CPU work of another kind, with one heartbeat per task."""

    def work(task, attempt):
        yield Heartbeat(task.id, 0)
        return Counter(task.payload["text"].split()), slot.device

    return work


def test_work_of_any_kind_runs_on_cpus(engine):
    texts = ["a b a", "", "b b"]
    tasks = [Task(f"text-{i}", {"text": text}) for i, text in enumerate(texts)]
    events = engine.map(count_words, tasks, "cpu")
    found = {e.task.id: e.value for e in events if isinstance(e, Result)}
    assert found == {t.id: (Counter(t.payload["text"].split()), "cpu") for t in tasks}


def raise_on_first_attempt(i, attempt, index):
    if i == 1 and index == 1 and attempt.number == 1:
        raise StorageError("503 slow down")


def raise_unpicklable_error(i, attempt, index):
    class Local(Exception):
        def __reduce__(self):
            raise TypeError("cannot be pickled")

    if i == 1 and attempt.number < 3:
        raise Local("torn")


def raise_always(i, attempt, index):
    if i == 1:
        raise ShardError("tar ends early")


def raise_unless_skipped(i, attempt, index):
    if i == 1 and index == 1 and index not in attempt.skip:
        raise ValueError("odd shape")


def raise_without_retry(i, attempt, index):
    class NotRetried(ShardError):
        retry = False

    if i == 1 and index == 1:
        raise NotRetried("tar is empty")


@pytest.mark.parametrize(
    ("fault", "succeeds", "failures"),
    [
        (raise_on_first_attempt, True, ("attempt 1: 503 slow down",)),
        (
            raise_unpicklable_error,
            True,
            ("attempt 1: Local: torn", "attempt 2: Local: torn"),
        ),
        (raise_always, False, tuple(f"attempt {i}: tar ends early" for i in (1, 2, 3))),
        (
            raise_unless_skipped,
            True,
            tuple(f"attempt {i}: ValueError: odd shape" for i in (1, 2, 3)),
        ),
        (raise_without_retry, False, ("attempt 1: tar is empty",)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_errors_in_a_task(engine, fault, succeeds, failures):
    found = run(engine, build_with(fault), 4)
    assert (found[1].value is not None, found[1].failures) == (succeeds, failures)
    assert all(found[i].value and not found[i].failures for i in (0, 2, 3))


def break_build(error):
    def build(slot):
        raise error

    return build


def lose_the_device(i, attempt, index):
    if i == 1:
        raise DeviceError("the GPU fell off the bus")


def change_the_weights(i, attempt, index):
    if i == 1:
        raise CheckpointError("the weights have changed")


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (break_build(CheckpointError("bad sha256")), CheckpointError, "^bad sha256$"),
        (break_build(DeviceError("no CUDA")), DeviceError, "^no CUDA$"),
        (break_build(RuntimeError("odd")), WorkersError, "RuntimeError: odd"),
        (break_build(StorageError("weights: 503")), WorkersError, "weights: 503"),
        (build_with(lose_the_device), DeviceError, "fell off the bus"),
        (build_with(change_the_weights), CheckpointError, "weights have changed"),
    ],
)
def test_errors_that_end_the_map(engine, build, error, message):
    with pytest.raises(error, match=message):
        list(engine.map(build, [task(i) for i in range(3)], "cpu"))


def test_tasks_are_drawn_lazily(engine):
    drawn = 0

    def tasks():
        nonlocal drawn
        for i in range(40):
            drawn += 1
            yield task(i)

    done = 0
    for event in engine.map(build_with(), tasks(), "cpu"):
        done += isinstance(event, Result)
        assert drawn - done <= 6
    assert (drawn, done) == (40, 40)


def test_an_error_of_the_task_iterator_is_raised(engine):
    def tasks():
        yield task(0)
        raise StorageError("plan is damaged")

    with pytest.raises(StorageError, match="plan is damaged"):
        list(engine.map(build_with(), tasks(), "cpu"))


def test_closing_early_raises_nothing(engine):
    events = engine.map(build_with(), (task(i) for i in range(1000)), "cpu")
    assert any(isinstance(event, Heartbeat) for event in events)
    events.close()


def test_the_slot_has_the_device_and_threads_of_the_worker(engine):
    def build(slot):
        def work(task, attempt):
            yield Heartbeat(task.id, 0)
            return {slot.device: slot.threads}

        return work

    wanted = 3
    changed = {"threads": wanted} if isinstance(engine, Local) else {"cpus_per_worker": wanted}
    events = engine.model_copy(update=changed).map(build, [task(0)], "cpu")
    assert list(events)[-1].value == {"cpu": wanted}
