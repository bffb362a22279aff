"""The command `samseg classes`."""

import json

import pytest

from samseg.cli import main
from samseg.output import Output


@pytest.fixture
def run(small_output, capsys):
    """Return a function that runs a verb on a small folder: exit code, result, what was said."""
    folder = small_output().output.uri.removeprefix("file://")

    def classes(*arguments, output=folder):
        with pytest.raises(SystemExit) as ended:
            main(["classes", output, *arguments])
        printed = capsys.readouterr()
        return ended.value.code, json.loads(printed.out.splitlines()[-1]), printed.err

    return classes


def test_classes_are_listed_and_edited(run):
    code, found, _ = run("list")
    assert code == 0
    assert [(c["name"], c["masks"]) for c in found["classes"]] == [
        ("apples", 12),
        ("crates", 8),
        ("class 2", 4),
    ]
    code, named, said = run("name", "2", "bars <b>", "--author", "ann", "--reason", "seen")
    assert code == 0 and named["edit"]["author"] == "ann" and named["edit"]["reason"] == "seen"
    assert said == "edit 1: class 2 is called 'bars <b>'\n"
    assert run("merge", "crates", "bars <b>", "--into", "apples")[0] == 0
    assert run("ignore", "0")[0] == run("restore", "0")[0] == 0
    code, undone, said = run("undo", "2")
    assert undone["edit"]["text"] == "undo edit 2"
    history = run("history")[1]["history"]
    assert [row["action"] for row in history] == ["name", "merge", "ignore", "restore", "undo"]
    assert {c["name"] for c in run("list")[1]["classes"]} == {"apples", "crates", "bars <b>"}


def test_escapes_in_names_do_not_reach_the_terminal(run):
    run("name", "2", "\x1b[2Jevil\u202e")
    for verb in ("list", "history"):
        code, record, said = run(verb)
        assert code == 0 and "\x1b" not in said and "\u202e" not in said
        assert r"\x1b[2Jevil\u202e" in said
    assert record["history"][0]["name"] == "\x1b[2Jevil\u202e"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("name", "aples", "x"), "did you mean class 0 'apples'?"),
        (("name", "0", ""), "name: is empty"),
        (("merge", "0", "--into", "0"), "cannot be merged with itself"),
        (("move", "nothing", "--to", "none"), "has no mask 'nothing'"),
        (("undo", "7"), "there is no edit 7"),
        (("undo", "last"), "Invalid value"),
        (("merge", "0"), "Missing option '--into'"),
        (("rename", "0", "x"), "No such command 'rename'"),
    ],
)
def test_a_mistake_ends_with_2_and_writes_nothing(run, arguments, message):
    code, _, said = run(*arguments)
    assert code == 2 and message in said
    assert run("history")[1]["history"] == []


def test_a_folder_that_is_not_there_is_not_made(run, tmp_path):
    code, _, said = run("list", output=str(tmp_path / "typo"))
    assert code == 2 and "there is no output folder" in said
    assert not (tmp_path / "typo").exists()


def test_who_comes_second_is_told(run, monkeypatch):
    from samseg.stages.edits import editor

    read = editor.read_log

    def late(output: Output):
        """Read the log; then somebody else is faster."""
        found = read(output)
        if not done:
            done.append(True)
            editor.ClassEditor(output).name(0, "pears", author="bob")
        return found

    done: list[bool] = []
    monkeypatch.setattr(editor, "read_log", late)
    code, record, said = run("ignore", "0")
    assert code == 3 and record["error"] == "ConflictError"
    assert "name (edit 1 by bob at " in said and "nothing was written" in said
