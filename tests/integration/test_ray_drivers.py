"""Programs that start or find a Ray of their own, as a user's do."""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.ray


def python(code, **more):
    """Run a driver of its own; returns its output and errors."""
    told = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_DEDUP_LOGS_SKIP_REGEX")
    env = {k: v for k, v in os.environ.items() if k not in told} | more
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env=env,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout, ran.stderr


def test_a_ray_of_its_own_is_silent_and_leaves_nothing(tmp_path):
    code = """
        import os
        from samseg.engine import RayPool
        from samseg.engine.protocol import Heartbeat, Result, Task

        def build(slot):
            def work(task, attempt):
                yield Heartbeat(task.id, 0)
                if task.payload == 1 and not attempt.skip:
                    os._exit(1)
                return "done"
            return work

        tasks = [Task(str(i), i) for i in range(3)]
        events = RayPool(workers=1, cpus_per_worker=1).map(build, tasks, "cpu")
        print(sum(isinstance(e, Result) for e in events))
        import ray
        print(ray.is_initialized())
    """
    assert python(code, HOME=str(tmp_path)) == ("3\nFalse\n", "")
    assert list(tmp_path.iterdir()) == [], "no token in the home directory"


def test_an_address_where_nothing_listens():
    code = """
        from samseg.engine import RayPool
        from samseg.errors import WorkersError
        from samseg.engine.protocol import Task
        for address in ("127.0.0.1:1", "ray://127.0.0.1:10001", "nonsense"):
            try:
                list(RayPool(address=address).map(print, [Task("a", None)], "cpu"))
            except WorkersError as e:
                print(e)
    """
    lines = python(code)[0].splitlines()
    assert [line.startswith("no Ray at ") for line in lines] == [True] * 3
    assert "refused" in lines[0] and "ray job submit" in lines[1]
