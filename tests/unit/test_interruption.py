"""A signal ends a run with a message, a record and its exit code, under both engines."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from samseg import interruption
from samseg.engine import Local
from samseg.engine.protocol import Heartbeat, Task


@pytest.fixture
def handlers():
    """Restore the handlers of signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    interruption.install()  # forgets what was received
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_whose_exception_a_library_drops_ends_the_run(handlers, number):
    def build(slot):
        def work(task, attempt):
            with suppress(BaseException):
                os.kill(os.getpid(), number)
                time.sleep(5)
            yield Heartbeat(task.id, 0)
            return "done"

        return work

    interruption.install()
    with pytest.raises(KeyboardInterrupt):
        list(Local().map(build, [Task("a", 1)], "cpu"))
    wanted = {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert interruption.interruption().exit_code == wanted


@pytest.mark.parametrize(
    ("kind", "number", "code"),
    [
        ("local", signal.SIGINT, 130),
        ("local", signal.SIGTERM, 143),
        pytest.param("ray", signal.SIGTERM, 143, marks=pytest.mark.ray),
    ],
)
def test_a_signal_ends_a_run(tmp_path: Path, kind: str, number: int, code: int) -> None:
    (tmp_path / "lake").mkdir()
    for i in range(40):
        noise = np.random.default_rng(i).integers(0, 255, (300, 400, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"lake/{i}.png"), noise)
    command = [sys.executable, "-m", "samseg", "label", "lake", "-o", "out"]
    run = subprocess.Popen(
        [*command, f"engine.kind={kind}", "masks.points_per_side=48"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"RAY_AUTH_MODE": "disabled"},
    )
    until = time.monotonic() + 120  # the first worker creates the recipe, then images are read
    while not (tmp_path / "out/recipe.json").exists() and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(1.0)
    run.send_signal(number)
    out, err = run.communicate(timeout=60)
    assert run.returncode == code, err
    assert json.loads(out.splitlines()[-1])["exit"] == code
    assert err.count("run the same command again to resume") == 1
    (record,) = (tmp_path / "out/nights").glob("*/status.json")
    assert json.loads(record.read_text())["exit"] == code
