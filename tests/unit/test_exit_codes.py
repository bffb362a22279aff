"""However a command ends: its exit code, and the last line for programs."""

import json
import os
import subprocess
import sys

import pytest

from samseg import config as config_module
from samseg.errors import ConfigError, LakeError

from .test_cli import config, run


def test_a_bug_exits_with_an_error_code(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(config_module, "load", lambda *a: 1 / 0)
    code, last, err = run(capsys, "plan", "-c", config(tmp_path))
    assert (code, last["error"]) == (3, "defect")
    assert "ZeroDivisionError" in err


def test_an_interrupt_explains_how_to_resume(capsys, monkeypatch, tmp_path):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(config_module, "load", interrupted)
    code, _, err = run(capsys, "plan", "-c", config(tmp_path))
    assert code == 130 and "run the same command again to resume" in err


class Panic(BaseException):
    """As a library in Rust raises it: no Exception."""


@pytest.mark.parametrize(
    ("raised", "exits", "error"),
    [
        (Panic("index out of bounds \x1b[2J"), 3, "defect"),
        (MemoryError(), 3, "defect"),
        (RecursionError(), 3, "defect"),
        (GeneratorExit(), 3, "defect"),
        (SystemExit(0), 3, "defect"),
        (SystemExit(1), 3, "defect"),
        (ValueError("s3://AKIA:s3cr/et@bucket"), 3, "defect"),
        (KeyboardInterrupt(), 130, "InterruptionError"),
        (LakeError("no images"), 3, "LakeError"),
        (ConfigError("no output"), 2, "ConfigError"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("options", [(), ("--quiet",), ("--verbose",)], ids=str)
def test_whatever_is_raised_ends_with_its_code_and_a_json_line(
    capsys, monkeypatch, tmp_path, raised, exits, error, options
):
    def fails(*arguments):
        raise raised

    monkeypatch.setattr(config_module, "load", fails)
    code, last, err = run(capsys, "plan", "-c", config(tmp_path), *options)
    assert (code, last["exit"], last["error"]) == (exits, exits, error)
    assert "\x1b" not in err and "s3cr" not in err + last["message"]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["plan", "--nope"], "plan"),
        (["nosuch"], None),
        (["--nope"], None),
        (["query", "--format", "xml", "select 1"], "query"),
        (["eval", "nosuch"], "eval"),
        (["status", "a", "s3://AKIA:s3cr/et@bucket"], "status"),
        (["try", "lake", "--images", "many"], "try"),
    ],
    ids=str,
)
def test_a_mistaken_command_line_ends_with_a_json_line(capsys, arguments, command):
    code, last, err = run(capsys, *arguments)
    assert (code, last["exit"], last["samseg"]) == (2, 2, command)
    assert last["message"] and "s3cr" not in last["message"] + err
    start = last["message"][:12]
    assert err.count(start) == 1, "a person reads the message once"


def test_a_panic_is_recorded_as_no_interruption(capsys, monkeypatch, tmp_path):
    from samseg import nightly

    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "a.jpg").write_bytes(b"x")

    def fails(*arguments):
        raise Panic("index out of bounds")

    monkeypatch.setattr(nightly, "plan_stage", fails)
    assert run(capsys, "nightly", "-c", config(tmp_path))[0] == 3
    (status,) = (tmp_path / "out" / "nights").glob("*/status.json")
    found = json.loads(status.read_text())
    assert found["exit"] == 3 and found["reasons"] == ["Panic: index out of bounds"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_name_is_printed_in_any_encoding(tmp_path, encoding):
    script = [sys.executable, "-m", "samseg", "status", tmp_path / "ラベル\N{SNOWMAN}\udcff"]
    ran = subprocess.run(
        script, capture_output=True, env={**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"}
    )
    assert ran.returncode == 2 and b"Traceback" not in ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1])["exit"] == 2


def test_an_argument_that_is_no_text_is_a_mistake(tmp_path):
    script = [sys.executable, "-m", "samseg", "label", b"\xff"]
    ran = subprocess.run(script, capture_output=True, cwd=tmp_path)
    assert ran.returncode == 2 and b"Traceback" not in ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1])["error"] == "ConfigError"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nightly", "-c", "a.yaml", "--config", "b.yaml"),
        ("nightly", "-c", "a.yaml", "-ca.yaml"),
        ("plan", "-c", "a.yaml", "--retry-failed", "crashed", "--retry-failed=timeout"),
        ("export", "-c", "a.yaml", "--via", "datumaro", "voc", "--via", "datumaro", "cvat"),
        ("label", "photos", "-o", "a", "masks.points_per_side=4", "-o", "b"),
        ("query", "select 1", "-o", "a", "-o", "b"),
        ("eval", "masks", "set", "--seed", "1", "--seed", "2"),
        ("eval", "classes", "set", "--oracle", "--no-oracle"),
    ],
    ids=" ".join,
)
def test_an_option_given_twice_is_refused(capsys, arguments):
    code, last, _ = run(capsys, *arguments)
    assert (code, last["exit"], last["error"]) == (2, 2, "BadParameter")
    assert "is given 2 times; give it once" in last["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "-qq", "nowhere"),
        ("segment", "no.jpg", "--point", "1,2", "--point", "3,4", "--label", "1", "--label", "0"),
        ("eval", "masks", "nowhere", "--model", "tiny", "--model", "vit_b"),
    ],
    ids=" ".join,
)
def test_lists_and_flags_may_be_repeated(capsys, arguments):
    assert "give it once" not in run(capsys, *arguments)[1]["message"]


@pytest.mark.parametrize(
    "uri", ["s3://AKIA:s3cr/et@bucket/x", "s3://bucket/x?X-Amz-Signature=s3cr"]
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "{uri}"),
        ("doctor", "{uri}"),
        ("query", "select 1", "-o", "{uri}"),
        ("label", "{uri}"),
        ("label", "photos", "-o", "{uri}"),
        ("try", "{uri}"),
        ("eval", "classes", "{uri}", "--truth", "labels.json"),
        *((s, "-c", "{config}", "output={uri}") for s in ("plan", "embed", "describe", "cluster")),
        *((s, "-c", "{config}", "output={uri}") for s in ("export", "report", "nightly")),
        ("nightly", "-c", "{config}", "reader.uri={uri}"),
        ("nightly", "-c", "{config}", "model.checkpoint={uri}"),
    ],
    ids=" ".join,
)
def test_a_uri_with_credentials_is_refused_at_once(capsys, tmp_path, arguments, uri):
    given = [text.format(uri=uri, config=config(tmp_path)) for text in arguments]
    code, last, err = run(capsys, *given)
    assert (code, last["error"]) == (2, "ConfigError")
    assert "holds a user, a password or a signature" in last["message"]
    assert "s3cr" not in last["message"] + err
