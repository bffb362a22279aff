"""Decoding in child processes: a file can neither stop nor crash the process that reads it.

    python -m samseg.readers.decode.process POLICY

is such a child. POLICY is a `DecodePolicy` as JSON. It reads files from stdin, each after its
length in 8 bytes, and answers each with a line of JSON and the pixels. It ends when stdin does, and
so with its parent, however that ends.
"""

import atexit
import json
import os
import struct
import subprocess
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from signal import Signals
from typing import Any, BinaryIO, cast

import numpy as np

from samseg.errors import ImageError
from samseg.readers.decode.policy import DecodePolicy
from samseg.types import Image

_LENGTH = struct.Struct(">Q")
_COMMAND = ("-m", "samseg.readers.decode.process")
_TRIES = 2
"""Children that must die at a file: one may have been killed from outside."""


class IsolatedDecoder:
    """A `DecodePolicy` carried out in child processes, one per thread that decodes.

    Children wait for further files, also of other decoders with the same policy in this process.

    Args:
        policy: the policy.
        limit_s: a file whose decoding takes longer is given up.
    """

    def __init__(self, policy: DecodePolicy, limit_s: float):
        self._policy = policy.model_dump_json()
        self._limit_s = limit_s
        self.max_bytes = policy.max_bytes

    def decode(self, payload: bytes) -> Image:
        """Decode one file.

        Raises:
            ImageError: as of `DecodePolicy.decode`; `timeout` after `limit_s`; `crashed` if the
                decoder dies at the file twice.
            RuntimeError: the child cannot start.
        """
        death = ""
        for _ in range(_TRIES):
            try:
                return self._decode(payload)
            except EOFError as e:
                death = str(e)
        raise ImageError("crashed", f"the decoder died at this file: {death}")

    def _decode(self, payload: bytes) -> Image:
        idle = _idle[os.getpid(), self._policy]  # a forked process has no children yet
        try:
            child = idle.pop()
        except IndexError:
            child = _Child(self._policy)
        expired = threading.Event()
        timer = threading.Timer(self._limit_s, child.expire, [expired])
        timer.daemon = True
        timer.start()
        try:
            answer, pixels = child.ask(payload)
        except (EOFError, OSError) as e:
            death = child.end()
            if expired.is_set():
                raise ImageError(
                    "timeout", f"decoding takes more than {self._limit_s:g} s"
                ) from None
            raise EOFError(death) from e
        finally:
            timer.cancel()
        if not expired.is_set():
            idle.append(child)
        if pixels is None:
            raise ImageError(answer["status"], answer["message"])
        return Image(pixels, answer["format"], answer["note"])


_idle: defaultdict[tuple[int, str], deque["_Child"]] = defaultdict(deque)
"""Children that wait for a file, by process and policy."""


@atexit.register
def end_idle() -> None:
    """End the children of this process that wait for a file."""
    for (pid, _), children in _idle.items():
        while pid == os.getpid() and children:
            children.pop().end()


class _Child:
    """One child process, which decodes one file at a time."""

    def __init__(self, policy: str):
        root = str(Path(__file__).resolve().parents[3])
        paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, *_COMMAND, policy],
            env=os.environ | {"PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the parent
        )
        self._to = cast(BinaryIO, self._process.stdin)
        self._from = cast(BufferedReader, self._process.stdout)
        if self._from.readline() != b"{}\n":
            raise RuntimeError(f"the decoding process does not start: {self.end()}")

    def ask(self, payload: bytes) -> tuple[Mapping[str, Any], np.ndarray[Any, Any] | None]:
        """Send a file; return the answer, and the pixels unless it is an error."""
        self._to.write(_LENGTH.pack(len(payload)))
        self._to.write(payload)
        self._to.flush()
        if not (line := self._from.readline()).endswith(b"\n"):
            raise EOFError
        answer = json.loads(line)
        if "shape" not in answer:
            return answer, None
        pixels = np.empty(answer["shape"], dtype=np.uint8)
        rest = pixels.data.cast("B")
        while len(rest):
            if not (n := self._from.readinto(rest)):
                raise EOFError
            rest = rest[n:]
        return answer, pixels

    def expire(self, expired: threading.Event) -> None:
        """Kill the process, whose time is over."""
        expired.set()
        self._process.kill()

    def end(self) -> str:
        """End the process; return what it died of."""
        for pipe in (self._to, self._from):
            try:
                pipe.close()
            except OSError:
                continue
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"signal {Signals(-code).name}" if code < 0 else f"exit code {code}"


def serve(policy_json: str) -> None:
    """Answer files as such a child, until stdin ends."""
    policy, files = DecodePolicy.model_validate_json(policy_json), sys.stdin.buffer
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever a library prints is no answer
        _answer(answers, {})
        while head := files.read(_LENGTH.size):
            payload = files.read(_LENGTH.unpack(head)[0])
            try:
                image = policy.decode(payload)
            except ImageError as e:
                _answer(answers, {"status": e.status, "message": e.message})
                continue
            facts = {"shape": image.pixels.shape, "format": image.format, "note": image.note}
            _answer(answers, facts, np.ascontiguousarray(image.pixels).data)


def _answer(answers: BinaryIO, values: Mapping[str, Any], pixels: memoryview | None = None) -> None:
    answers.write(json.dumps(values).encode() + b"\n")
    if pixels is not None:
        answers.write(pixels.cast("B"))
    answers.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
