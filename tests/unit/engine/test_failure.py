import pickle

import pytest

from samseg.engine.failure import Done, Failure, attempt_task, build_work
from samseg.engine.protocol import Attempt, Heartbeat, Slot, Task
from samseg.errors import CheckpointError, DeviceError, ImageError, ShardError, StorageError

TASK = Task("task-1", "payload")


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("cannot pickle")


@pytest.mark.parametrize(
    ("error", "wanted", "ends_night"),
    [
        (ValueError("x"), Failure("ValueError: x", True, None), False),
        (Unpicklable("x\ny"), Failure("Unpicklable: x y", True, None), False),
        (StorageError("down"), Failure("down", True, StorageError), False),
        (ShardError("cut"), Failure("cut", True, ShardError), False),
        (CheckpointError("bad"), Failure("bad", False, CheckpointError), True),
        (DeviceError("gone"), Failure("gone", False, DeviceError), True),
        (ImageError("failed", "odd"), Failure("odd", False, None), False),
    ],
)
def test_errors_become_picklable_values(error, wanted, ends_night):
    failure = Failure.of(error)
    assert failure == wanted == pickle.loads(pickle.dumps(failure))
    assert failure.ends_night is ends_night
    assert str(failure.error()) == failure.text


def run(work):
    return list(attempt_task(work, TASK, Attempt()))


def test_the_last_message_is_what_the_work_returned_or_its_failure():
    heartbeat = Heartbeat(TASK.id, 0)

    def succeeds(task, attempt):
        yield heartbeat
        yield heartbeat
        return task.payload

    def breaks(task, attempt):
        yield heartbeat
        raise ShardError("truncated")

    def breaks_at_once(task, attempt):
        raise RuntimeError("no")

    assert run(succeeds) == [heartbeat, heartbeat, Done("payload")]
    assert run(breaks) == [heartbeat, Failure("truncated", True, ShardError)]
    assert run(breaks_at_once) == [Failure("RuntimeError: no")]


def test_build_errors_are_values_too():
    def build(slot):
        raise CheckpointError(f"no weights for {slot.device}")

    failure = build_work(build, Slot("cpu", 1))
    assert isinstance(failure, Failure) and isinstance(failure.error(), CheckpointError)
    assert build_work(lambda slot: slot.threads, Slot("cpu", 3)) == 3


class PanicError(BaseException):
    """As libraries in Rust raise it."""


def test_a_panic_is_a_failure():
    def build(slot):
        raise PanicError("index out of bounds")

    def work(task, attempt):
        yield Heartbeat(task.id, 0)
        raise PanicError("index out of bounds")

    wanted = "PanicError: index out of bounds"
    assert build_work(build, Slot("cpu", 1)).text == wanted
    *_, last = attempt_task(work, Task("a", 1), Attempt())
    assert last.text == wanted and last.retry


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_process_is_raised(error):
    def work(task, attempt):
        yield Heartbeat(task.id, 0)
        raise error

    with pytest.raises(error):
        list(attempt_task(work, Task("a", 1), Attempt()))
