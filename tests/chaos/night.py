"""A night on stub work: in this process, or as a driver of its own that may be killed.

    python -m tests.chaos.night CONFIG.yaml '{"nap_s": 0.1}'

`null` in place of the options runs the real model.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import samseg.nightly
from samseg.config import load
from samseg.errors import SamsegError
from samseg.nightly import Night
from tests.chaos.stub import StubSpec

ROOT = Path(__file__).resolve().parents[2]
EMBED = samseg.nightly.embed_stage


def run(config: Any, stub: dict[str, Any] | None) -> int:
    """Run one night and return its exit code."""

    def embed(output: Any, spec: Any, *more: Any) -> Any:
        return EMBED(output, spec if stub is None else StubSpec.of(spec, **stub), *more)

    samseg.nightly.embed_stage = embed
    try:
        with config.engine.session():
            return Night(config).run().exit
    except SamsegError as e:
        sys.stderr.write(f"{type(e).__name__}: {e}\n")
        return e.exit_code
    finally:
        samseg.nightly.embed_stage = EMBED


def started(config: Path, env: dict[str, str], stub: dict[str, Any] | None) -> subprocess.Popen:
    """Start a driver of its own; its output goes to a file beside the config."""
    more = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with config.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.night", str(config), json.dumps(stub)],
            env=env | more,
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )


if __name__ == "__main__":
    sys.exit(run(load(sys.argv[1]), json.loads(sys.argv[2])))
