"""What every engine promises, on each engine: one table of works, one table of promises."""

import sys
from itertools import pairwise

import pytest

from samseg.engine import Local, RayPool
from samseg.engine.protocol import Beat, Outcome, Receipt
from samseg.errors import CheckpointError, DeviceError, ShardError, StorageError, WorkersError
from samseg.types import Shard, Source

IMAGES = 3


def shard(i):
    return Shard.of([Source(f"{i}", f"file:///{i}", "etag", 1)], IMAGES)


@pytest.fixture(params=["local", "ray"])
def engine(request):
    """Each engine in turn, impatient."""
    if request.param == "local":
        return Local(backoff_s=0.0, attempts=3)
    request.getfixturevalue("ray_cluster")
    import ray

    # the workers cannot import test modules
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return RayPool(
        workers=2, cpus_per_worker=1, backoff_s=0.0, attempts=3, silence_s=30.0, start_failures=2
    )


def build_with(hurt=lambda i, attempt, index: None):
    """Return a build whose work does `hurt` before each image."""

    def build(slot):
        def work(shard, attempt):
            i = int(shard.sources[0].key)
            for index in range(IMAGES):
                yield Beat(shard.id, index, 10 * index)
                hurt(i, attempt, index)
            yield Receipt(shard.id, {"ok": IMAGES}, 10 * IMAGES, {"read": 0.5})

        return work

    return build


def run(engine, build, n, device="cpu"):
    """Return the outcomes by shard, after checking what holds for every run."""
    shards = [shard(i) for i in range(n)]
    events = list(engine.map(build, iter(shards), device))
    outcomes = [e for e in events if isinstance(e, Outcome)]
    assert sorted(o.shard.id for o in outcomes) == sorted(s.id for s in shards)
    for o in outcomes:
        of_shard = [
            e for e in events if (e.shard_id if isinstance(e, Beat) else e.shard.id) == o.shard.id
        ]
        assert of_shard[-1] is o, "the outcome is the last word on its shard"
        indices = [e.index for e in of_shard[:-1]]
        assert indices and indices[0] == 0
        assert all(b == a + 1 or b == 0 for a, b in pairwise(indices))
    return {int(o.shard.sources[0].key): o for o in outcomes}


def test_no_shards(engine):
    assert run(engine, build_with(), 0) == {}


def test_every_shard_has_one_outcome_and_its_receipt_arrives_whole(engine):
    found = run(engine, build_with(), 7)
    for i, outcome in found.items():
        assert outcome.failures == ()
        assert outcome.receipt == Receipt(
            shard(i).id, {"ok": IMAGES}, 10 * IMAGES, {"read": 0.5}, committed=True
        )


def raise_in_first_try(i, attempt, index):
    if i == 1 and index == 1 and attempt.number == 1:
        raise StorageError("503 slow down")


def raise_what_cannot_be_pickled(i, attempt, index):
    class Local(Exception):
        def __reduce__(self):
            raise TypeError("stays here")

    if i == 1 and attempt.number < 3:
        raise Local("torn")


def raise_always(i, attempt, index):
    if i == 1:
        raise ShardError("tar ends early")


def raise_unless_skipped(i, attempt, index):
    if i == 1 and index == 1 and index not in attempt.skip:
        raise ValueError("odd shape")


def raise_for_good(i, attempt, index):
    class Hopeless(ShardError):
        retry = False

    if i == 1 and index == 1:
        raise Hopeless("tar is empty")


@pytest.mark.parametrize(
    ("hurt", "succeeds", "failures"),
    [
        (raise_in_first_try, True, ("attempt 1: 503 slow down",)),
        (
            raise_what_cannot_be_pickled,
            True,
            ("attempt 1: Local: torn", "attempt 2: Local: torn"),
        ),
        (raise_always, False, tuple(f"attempt {i}: tar ends early" for i in (1, 2, 3))),
        (
            raise_unless_skipped,
            True,
            tuple(f"attempt {i}: ValueError: odd shape" for i in (1, 2, 3)),
        ),
        (raise_for_good, False, ("attempt 1: tar is empty",)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_errors_on_a_shard(engine, hurt, succeeds, failures):
    found = run(engine, build_with(hurt), 4)
    assert (found[1].receipt is not None, found[1].failures) == (succeeds, failures)
    assert all(found[i].receipt and not found[i].failures for i in (0, 2, 3))


def break_build(error):
    def build(slot):
        raise error

    return build


def lose_the_device(i, attempt, index):
    if i == 1:
        raise DeviceError("the GPU fell off the bus")


def spoil_the_weights(i, attempt, index):
    if i == 1:
        raise CheckpointError("the weights changed under us")


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (break_build(CheckpointError("bad sha256")), CheckpointError, "^bad sha256$"),
        (break_build(DeviceError("no CUDA")), DeviceError, "^no CUDA$"),
        (break_build(RuntimeError("odd")), WorkersError, "RuntimeError: odd"),
        (break_build(StorageError("weights: 503")), WorkersError, "weights: 503"),
        (build_with(lose_the_device), DeviceError, "fell off the bus"),
        (build_with(spoil_the_weights), CheckpointError, "changed under us"),
    ],
)
def test_what_ends_the_night(engine, build, error, message):
    with pytest.raises(error, match=message):
        list(engine.map(build, [shard(i) for i in range(3)], "cpu"))


def test_shards_are_drawn_as_the_work_goes(engine):
    drawn = 0

    def shards():
        nonlocal drawn
        for i in range(40):
            drawn += 1
            yield shard(i)

    done = 0
    for event in engine.map(build_with(), shards(), "cpu"):
        done += isinstance(event, Outcome)
        assert drawn - done <= 6
    assert (drawn, done) == (40, 40)


def test_an_error_of_the_plan_comes_through(engine):
    def shards():
        yield shard(0)
        raise StorageError("plan is damaged")

    with pytest.raises(StorageError, match="plan is damaged"):
        list(engine.map(build_with(), shards(), "cpu"))


def test_closing_early_is_quiet(engine):
    events = engine.map(build_with(), (shard(i) for i in range(1000)), "cpu")
    assert isinstance(next(events), Beat)
    events.close()


def test_the_slot_says_what_the_worker_may_use(engine):
    def build(slot):
        def work(shard, attempt):
            yield Beat(shard.id, 0, 0)
            yield Receipt(shard.id, {slot.device: slot.threads}, 0)

        return work

    wanted = 3
    changed = {"threads": wanted} if isinstance(engine, Local) else {"cpus_per_worker": wanted}
    events = engine.model_copy(update=changed).map(build, [shard(0)], "cpu")
    assert list(events)[-1].receipt.statuses == {"cpu": wanted}
