"""Pace over invented journals: a clock that ticks where the test says."""

import subprocess
import sys
import time

import pytest

from samseg.engine.protocol import Heartbeat, Result, Task
from samseg.errors import ConfigError, WorkersError
from samseg.lab.benchmark.processes import cpu_seconds, largest_peak_bytes, peak_bytes
from samseg.lab.benchmark.throughput import Journal
from samseg.stages.embed.shard_rows import ShardResult
from samseg.types import Shard


def ticks(start, *seconds):
    """A shard that starts at a time; how long each image takes, and last of all its commit."""
    at, found = start, [(start, 0)]
    for n, s in enumerate(seconds[:-1], start=1):
        at += s
        found.append((at, n))
    return [*found, (at + seconds[-1], len(seconds) - 1)]


def journal(*shards):
    found = Journal({str(i): shard for i, shard in enumerate(shards)}, peak_bytes=7)
    found.cpu = sorted((shard[-1][0], 10 * shard[-1][0]) for shard in shards)
    return found


def test_one_worker_is_measured_from_the_end_of_its_first_shard():
    # the first shard ends at 100; two shards of two images with a commit of 1 s follow
    pace = journal(ticks(0, 60, 39, 1), ticks(100, 2, 2, 1), ticks(105, 2, 2, 1)).pace(1)
    assert (pace.images, pace.wall_s, pace.cpu_s, pace.peak_bytes) == (4, 10, 100, 7)


def test_two_workers_are_measured_while_both_are_warm_and_have_work():
    pace = journal(
        ticks(0, 10, 0),  # worker A, its first
        ticks(10, 10, 0),  # A goes on while B is still starting
        ticks(15, 25, 0),  # B's first: it is warm at 40
        ticks(20, 10, 0),
        ticks(30, 10, 0),
        ticks(40, 10, 0),
        ticks(40, 8, 2),
        ticks(50, 10, 0),
        ticks(50, 20, 0),  # B's last; A is through at 60 and finds nothing
    ).pace(2)
    assert pace.wall_s == 20
    assert pace.images == 1 + 1 + 1 + 0.5  # of the last shard, half is outside


def test_images_in_work_when_the_others_get_warm_count_in_part():
    pace = journal(
        ticks(0, 10, 0), ticks(1, 11, 0), ticks(10, 4, 0), ticks(12, 4, 0), ticks(14, 4, 0)
    ).pace(2)
    # from 12, in the middle of the third shard, to 16
    assert (pace.wall_s, pace.images) == (4, 0.5 + 1 + 0.5)


@pytest.mark.parametrize(
    ("shards", "workers"),
    [
        ([], 1),
        ([ticks(0, 5, 1)], 1),
        ([ticks(0, 5, 1), ticks(6, 5, 1), ticks(12, 5, 1)], 2),  # one did it all
        ([ticks(0, 5, 1), ticks(1, 5, 1)], 2),  # never warm together
    ],
)
def test_too_few_shards_are_refused(shards, workers):
    with pytest.raises(ConfigError, match=f"{len(shards)} shards are too few"):
        journal(*shards).pace(workers)


def test_notes_are_taken_with_a_clock_that_goes_on():
    found, shard = Journal(), Shard.of([], 3)
    found.note(Heartbeat(shard.id, 0))
    found.note(Heartbeat(shard.id, 2))
    found.note(Result(Task(shard.id, shard), ShardResult({"ok": 2, "undecodable": 1}, 5, {})))
    ticks, (spent,) = found.shards[shard.id], found.cpu
    assert [images for _, images in ticks] == [0, 2, 3]
    assert ticks[0][0] <= ticks[1][0] <= ticks[2][0] == spent[0] and spent[1] > 0


def test_a_shard_that_was_given_up_is_no_pace():
    with pytest.raises(WorkersError, match="given up: attempt 1: no such file"):
        Journal().note(Result(Task("a", Shard.of([], 3)), None, ("attempt 1: no such file",)))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_below_are_seen():
    code = "x = b'1' * 300_000_000\nprint('holds', flush=True)\nwhile True: pass"
    before = cpu_seconds() - time.process_time()
    busy = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert busy.stdout.readline() == "holds\n"
        assert largest_peak_bytes() > 300e6
        while cpu_seconds() - time.process_time() - before < 0.5:
            assert busy.poll() is None
            time.sleep(0.05)
    finally:
        busy.kill()
        busy.communicate()
    assert largest_peak_bytes() < 300e6


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_childs_peak_is_its_own():
    held = b"1" * 300_000_000
    code = "from samseg.lab.benchmark.processes import peak_bytes; print(peak_bytes())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 300e6 < peak_bytes()
    assert len(held) == 300_000_000
