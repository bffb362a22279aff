import json
import logging
import sys

import pytest
from rich.table import Table

from samseg.errors import LakeError
from samseg.terminal import Terminal, on_terminal, print_tables


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


EVIL = "we[/red]ird\x1b]0;title\x07\u202e"
PLAIN = r"we[/red]ird\x1b]0;title\x07\u202e"


@pytest.mark.parametrize("tty", [True, False])
def test_names_are_printed_as_plain_text(capsys, monkeypatch, tty):
    out = Tty()
    if tty:
        monkeypatch.setattr(sys, "stdout", out)
    terminal = Terminal(verbose=True)
    terminal.result({"key": EVIL}, [f"Failed: {EVIL}\nExit 0"])
    terminal.failed("label", LakeError(f"no images in {EVIL}"))
    with terminal.logging():
        logging.getLogger("samseg.x").warning("of %s", EVIL)
    with terminal.logging():
        try:
            raise ValueError(EVIL)
        except ValueError as e:
            logging.getLogger("samseg.x").warning("failed", exc_info=e)
    printed, err = capsys.readouterr()
    printed += out.text + err
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)
    assert f"Failed: {PLAIN}\\nExit 0\n" in printed
    assert f"no images in {PLAIN}\n" in printed and f"of {PLAIN}\n" in printed
    assert f"ValueError: {PLAIN}\n" in printed


@pytest.mark.parametrize("stderr", [True, False])
def test_tables_hold_plain_text(capsys, stderr):
    table = Table(EVIL, title=EVIL, caption=EVIL)
    table.add_row(EVIL)
    print_tables([table, EVIL, ":smile: [b]"], stderr=stderr, width=100)
    printed = capsys.readouterr()[int(stderr)]
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)
    assert printed.count(PLAIN) == 5 and printed.endswith(":smile: [b]\n")


def test_no_credential_is_printed(capsys):
    secret = "s3cr/et's own"
    url = f"s3://AKIA:{secret}@bucket/photos"
    terminal = Terminal(verbose=True)
    with terminal.logging():
        try:
            raise ValueError(url)
        except ValueError as e:
            logging.getLogger("samseg.x").warning("cannot open %s", url, exc_info=e)
            error = LakeError(f"cannot list {url}")
            error.__cause__ = e
            terminal.failed("label", error)
    printed, err = capsys.readouterr()
    assert "s3cr" not in printed + err and "own" not in printed + err
    assert err.count("Traceback") == 2
