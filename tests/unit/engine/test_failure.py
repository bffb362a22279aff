import pickle

import pytest

from samseg.engine.failure import Failure, build_work, try_shard
from samseg.engine.protocol import Attempt, Beat, Receipt, Slot
from samseg.errors import CheckpointError, DeviceError, ImageError, ShardError, StorageError
from samseg.types import Shard

SHARD = Shard.of([], 0)
RECEIPT = Receipt(SHARD.id, {}, 0)


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("cannot leave")


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
def test_errors_become_values_that_travel(error, wanted, ends_night):
    failure = Failure.of(error)
    assert failure == wanted == pickle.loads(pickle.dumps(failure))
    assert failure.ends_night is ends_night
    assert str(failure.error()) == failure.text


def run(work):
    return list(try_shard(work, SHARD, Attempt()))


def test_the_last_word_is_the_receipt_or_the_failure():
    beat = Beat(SHARD.id, 0, 0)

    def talks_on(shard, attempt):
        yield beat
        yield RECEIPT
        yield beat

    def breaks(shard, attempt):
        yield beat
        raise ShardError("truncated")

    def says_nothing(shard, attempt):
        return iter([beat])

    def breaks_at_once(shard, attempt):
        raise RuntimeError("no")

    def breaks_after_its_receipt(shard, attempt):
        yield RECEIPT
        raise RuntimeError("late")

    assert run(talks_on) == [beat, beat, RECEIPT]
    assert run(breaks) == [beat, Failure("truncated", True, ShardError)]
    assert run(says_nothing)[-1].retry is False
    assert run(breaks_at_once) == [Failure("RuntimeError: no")]
    assert run(breaks_after_its_receipt) == [Failure("RuntimeError: late")]


def test_build_errors_are_values_too():
    def build(slot):
        raise CheckpointError(f"no weights for {slot.device}")

    failure = build_work(build, Slot("cpu", 1))
    assert isinstance(failure, Failure) and isinstance(failure.error(), CheckpointError)
    assert build_work(lambda slot: slot.threads, Slot("cpu", 3)) == 3
