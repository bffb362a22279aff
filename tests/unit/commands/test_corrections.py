"""The command `samseg import`."""

import json
from pathlib import Path

import pytest

from samseg.cli import main
from samseg.exporters import Coco
from samseg.stages.export import export_all


@pytest.fixture
def made(small_output):
    return small_output().output


@pytest.fixture
def run(made, tmp_path, capsys):
    """Return a function that imports a COCO file of the folder after a change."""

    def corrected(change, *options, name="corrected.json"):
        (written,) = export_all(made, [Coco()])
        data = json.loads(Path(written.uri[7:], "instances-00000.json").read_text())
        change(data)
        (tmp_path / name).write_text(json.dumps(data))
        with pytest.raises(SystemExit) as ended:
            main(["import", made.uri[7:], str(tmp_path / name), *options])
        printed = capsys.readouterr()
        return ended.value.code, json.loads(printed.out.splitlines()[-1]), printed.err

    return corrected


def rename(data):
    data["categories"][0]["name"] = "pears \x1b[2J"
    del data["annotations"][0]


def test_a_dry_run_says_what_the_import_does(run, made):
    code, record, said = run(rename, "--dry-run")
    assert (code, record["edits"], made.edit_numbers()) == (0, [], [])
    assert said.splitlines()[:2] == [
        r"class 0 is called 'pears \x1b[2J'",
        "leave 1 masks out of exports",
    ]
    code, record, said = run(rename, "--author", "ann")
    assert (code, record["edits"], record["renamed"], record["ignored"]) == (0, [1, 2], 1, 1)
    assert said.splitlines() == [
        "Done:    1 classes renamed, 1 masks left out of exports, in 2 edits",
        "Left:    nothing",
        f"Next:    `samseg export -c CONFIG --all`, `samseg classes {made.uri[7:]} history`",
    ]
    assert made.read_json(made.edit_key(1))["author"] == "ann"


def test_the_rest_is_done_and_the_code_is_1(run, made):
    def change(data):
        rename(data)
        data["images"].append({"id": 5, "image_id": "f" * 20})

    code, record, said = run(change)
    assert (code, record["left"]["unknown_images"], record["edits"]) == (1, 1, [1, 2])
    assert "1 images that the folder does not have" in said


def test_a_mistake_ends_with_2_and_writes_nothing(run, made):
    code, _, said = run(lambda data: data["categories"][0].pop("name"), name="a\nb.json")
    assert code == 2 and "category 1 has no name" in said and r"a\nb.json" in said
    assert made.edit_numbers() == []
