"""Throughput of constructed progress logs; CPU time and peak memory of processes."""

import subprocess
import sys
import time

import pytest

from samseg.engine.protocol import Heartbeat, Result, Task
from samseg.errors import ConfigError, WorkersError
from samseg.lab.benchmark.processes import cpu_seconds, largest_peak_bytes, peak_bytes
from samseg.lab.benchmark.throughput import ProgressLog
from samseg.stages.embed.shard_rows import ShardResult
from samseg.types import Shard


def ticks(start, *seconds):
    """Return the log of a shard: seconds of each image, and of the commit last."""
    at, found = start, [(start, 0)]
    for n, s in enumerate(seconds[:-1], start=1):
        at += s
        found.append((at, n))
    return [*found, (at + seconds[-1], len(seconds) - 1)]


def log_of(*shards):
    found = ProgressLog({str(i): shard for i, shard in enumerate(shards)}, peak_bytes=7)
    found.cpu = sorted((shard[-1][0], 10 * shard[-1][0]) for shard in shards)
    return found


def test_one_worker_is_measured_from_the_end_of_its_first_shard():
    # the first shard ends at 100; two shards of two images with a commit of 1 s follow
    found = log_of(ticks(0, 60, 39, 1), ticks(100, 2, 2, 1), ticks(105, 2, 2, 1)).throughput(1)
    assert (found.images, found.wall_s, found.cpu_s, found.peak_bytes) == (4, 10, 100, 7)


def test_two_workers_are_measured_while_both_are_warm_and_busy():
    found = log_of(
        ticks(0, 10, 0),  # first of worker A
        ticks(10, 10, 0),  # A works while B is starting
        ticks(15, 25, 0),  # first of B, which is warm at 40
        ticks(20, 10, 0),
        ticks(30, 10, 0),
        ticks(40, 10, 0),
        ticks(40, 8, 2),
        ticks(50, 10, 0),
        ticks(50, 20, 0),  # last of B; A finds no shard left at 60
    ).throughput(2)
    assert found.wall_s == 20
    assert found.images == 1 + 1 + 1 + 0.5  # half of the last shard is outside


def test_images_in_progress_at_the_start_count_in_part():
    found = log_of(
        ticks(0, 10, 0), ticks(1, 11, 0), ticks(10, 4, 0), ticks(12, 4, 0), ticks(14, 4, 0)
    ).throughput(2)
    # from 12, in the middle of the third shard, to 16
    assert (found.wall_s, found.images) == (4, 0.5 + 1 + 0.5)


@pytest.mark.parametrize(
    ("shards", "workers"),
    [
        ([], 1),
        ([ticks(0, 5, 1)], 1),
        ([ticks(0, 5, 1), ticks(6, 5, 1), ticks(12, 5, 1)], 2),  # one worker did all
        ([ticks(0, 5, 1), ticks(1, 5, 1)], 2),  # never warm together
    ],
)
def test_too_few_shards_are_refused(shards, workers):
    with pytest.raises(ConfigError, match=f"{len(shards)} shards are too few"):
        log_of(*shards).throughput(workers)


def test_events_are_recorded_with_a_monotonic_clock():
    found, shard = ProgressLog(), Shard.of([], 3)
    found.record(Heartbeat(shard.id, 0))
    found.record(Heartbeat(shard.id, 2))
    found.record(Result(Task(shard.id, shard), ShardResult({"ok": 2, "undecodable": 1}, 5, {})))
    ticks, (spent,) = found.shards[shard.id], found.cpu
    assert [images for _, images in ticks] == [0, 2, 3]
    assert ticks[0][0] <= ticks[1][0] <= ticks[2][0] == spent[0] and spent[1] > 0


def test_a_shard_given_up_is_an_error():
    with pytest.raises(WorkersError, match="given up: attempt 1: no such file"):
        ProgressLog().record(Result(Task("a", Shard.of([], 3)), None, ("attempt 1: no such file",)))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_descendants_are_measured():
    most = largest_peak_bytes() + 300_000_000  # other tests may have left processes
    code = f"x = b'1' * {most}\nprint('ready', flush=True)\nwhile True: pass"
    before = cpu_seconds() - time.process_time()
    busy = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert busy.stdout.readline() == "ready\n"
        assert largest_peak_bytes() > most
        while cpu_seconds() - time.process_time() - before < 0.5:
            assert busy.poll() is None
            time.sleep(0.05)
    finally:
        busy.kill()
        busy.communicate()
    assert largest_peak_bytes() < most


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_childs_peak_excludes_its_parent():
    held = b"1" * 300_000_000
    code = "from samseg.lab.benchmark.processes import peak_bytes; print(peak_bytes())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 300e6 < peak_bytes()
    assert len(held) == 300_000_000
