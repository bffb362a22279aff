"""Decoding in child processes: the same pictures and errors, and files at which a decoder ends."""

import io
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from PIL import Image as Pillow

from samseg.errors import ImageError
from samseg.readers.decode import DecodePolicy, process
from samseg.readers.decode.process import IsolatedDecoder

HURTFUL = """
import os, signal, sys, time
from samseg.readers.decode import policy, process
decode = policy.DecodePolicy.decode
def hurt(self, payload):
    if payload.startswith(b"segfault"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if payload.startswith(b"exit"):
        os._exit(7)
    if payload.startswith(b"hang"):
        time.sleep(3600)
    if payload.startswith(b"once ") and not os.path.exists(payload[5:]):
        open(payload[5:], "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    print("a library prints")
    return decode(self, payload)
policy.DecodePolicy.decode = hurt
process.serve(sys.argv[1])
"""


def encoded(seed=0, size=(30, 40), format="PNG"):
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    sink = io.BytesIO()
    Pillow.fromarray(pixels).save(sink, format)
    return sink.getvalue(), pixels


@pytest.fixture
def hurtful(monkeypatch):
    """Decode in children that some files hurt; they are not left to other tests."""
    monkeypatch.setattr(process, "_COMMAND", ("-c", HURTFUL))
    background = (1, 2, 3)  # a policy of its own
    yield lambda limit_s=60.0: IsolatedDecoder(DecodePolicy(background=background), limit_s)
    process.end_idle()


@pytest.fixture
def decoder():
    return IsolatedDecoder(DecodePolicy(max_pixels=10_000), 60.0)


def test_pictures_are_those_of_the_policy(decoder):
    payload, pixels = encoded()
    for _ in range(3):
        image = decoder.decode(payload)
        np.testing.assert_array_equal(image.pixels, pixels)
        assert image.pixels.flags.writeable and image.pixels.flags.c_contiguous
        assert (image.format, image.note) == ("PNG", "")
    assert decoder.max_bytes == DecodePolicy().max_bytes


@pytest.mark.parametrize(
    "payload",
    [b"", b"<html>", encoded()[0][:200], encoded(size=(200, 200))[0]],
    ids=["empty", "no image", "cut", "too large"],
)
def test_errors_are_those_of_the_policy(decoder, payload):
    with pytest.raises(ImageError) as wanted:
        DecodePolicy(max_pixels=10_000).decode(payload)
    with pytest.raises(ImageError) as found:
        decoder.decode(payload)
    assert (found.value.status, found.value.message) == (wanted.value.status, wanted.value.message)


def test_threads_have_a_child_each(decoder):
    files = [encoded(seed, (50 + seed, 60)) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(decoder.decode, [payload for payload, _ in files]))
    for image, (_, pixels) in zip(found, files, strict=True):
        np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize(("how", "said"), [("segfault", "signal SIGSEGV"), ("exit", "exit code 7")])
def test_a_file_at_which_the_decoder_dies_is_a_row(hurtful, how, said):
    decoder = hurtful()
    with pytest.raises(ImageError, match=said) as found:
        decoder.decode(how.encode())
    assert found.value.status == "crashed"
    assert decoder.decode(encoded()[0]).format == "PNG"


def test_a_file_whose_decoding_does_not_end_is_a_row(hurtful):
    with pytest.raises(ImageError, match="more than 3 s") as found:
        hurtful(limit_s=3.0).decode(b"hang")
    assert found.value.status == "timeout"


def test_a_decoder_that_is_killed_from_outside_costs_nothing(hurtful, tmp_path):
    with pytest.raises(ImageError) as found:
        hurtful().decode(f"once {tmp_path / 'killed'}".encode())
    assert found.value.status == "undecodable" and (tmp_path / "killed").exists()


def test_children_end_with_their_parent(tmp_path):
    script = (
        "import os, signal, sys, psutil\n"
        "from samseg.readers.decode import DecodePolicy\n"
        "from samseg.readers.decode.process import IsolatedDecoder\n"
        "IsolatedDecoder(DecodePolicy(), 60.0).decode(open(sys.argv[1], 'rb').read())\n"
        "print(psutil.Process().children()[0].pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (tmp_path / "a.png").write_bytes(encoded()[0])
    command = [sys.executable, "-c", script, str(tmp_path / "a.png")]
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    assert ended.returncode == -signal.SIGKILL
    until = time.monotonic() + 10
    while psutil.pid_exists(int(ended.stdout)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not psutil.pid_exists(int(ended.stdout))


def test_a_decoder_that_does_not_start_says_so(monkeypatch):
    monkeypatch.setattr(process, "_COMMAND", ("-c", "raise SystemExit(5)"))
    with pytest.raises(RuntimeError, match="does not start: exit code 5"):
        IsolatedDecoder(DecodePolicy(background=(9, 9, 9)), 60.0).decode(b"")
