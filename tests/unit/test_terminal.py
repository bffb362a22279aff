import json
import logging
import sys

import pytest

from samseg.errors import LakeError
from samseg.terminal import Terminal, on_terminal


class Tty:
    """A standard output that is a terminal."""

    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


@pytest.mark.parametrize(
    ("tty", "options", "json_out", "lines_in"),
    [
        (False, {}, True, "err"),
        (False, {"quiet": True}, True, None),
        (True, {}, False, "out"),
        (True, {"quiet": True}, False, "out"),
        (True, {"json": True}, True, "err"),
    ],
)
def test_who_reads_standard_output_gets_what_they_read(
    capsys, monkeypatch, tty, options, json_out, lines_in
):
    out = Tty()
    if tty:
        monkeypatch.setattr(sys, "stdout", out)
    Terminal(**options).result({"exit": 0}, ["one", "two"])
    printed, err = capsys.readouterr()
    printed += out.text
    assert ("one\ntwo\n" in printed) == (lines_in == "out")
    assert ("one\ntwo\n" in err) == (lines_in == "err")
    assert ('{"exit": 0}' in printed) == json_out


def test_a_person_gets_no_json_of_an_error(capsys, monkeypatch):
    out = Tty()
    monkeypatch.setattr(sys, "stdout", out)
    Terminal().failed("label", LakeError("no images"))
    assert (out.text, capsys.readouterr().err) == ("", "samseg: no images\n")


def test_options_are_added_and_errors_become_exit_codes(capsys):
    @on_terminal
    def label(terminal: Terminal, lake: str) -> int:
        """Label."""
        logging.getLogger("samseg.x").info("detail of %s", lake)
        logging.getLogger("samseg.x").warning("warning of %s", lake)
        raise LakeError("no images")

    for options, told in (
        ({}, ["warning"]),
        ({"quiet": True}, []),
        ({"verbose": True}, ["detail", "warning"]),
    ):
        assert label(lake="a", **options) == 3
        out, err = capsys.readouterr()
        assert [line.split()[0] for line in err.splitlines() if " of a" in line] == told
        assert ("Traceback" in err) == ("verbose" in options)
        assert json.loads(out)["samseg"] == "label"
