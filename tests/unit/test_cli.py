import json
import subprocess
import sys

import pytest
import yaml

from samseg import cli


def run(capsys, *arguments):
    """Run the command line in this process; return exit code, last line, standard error."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    out, err = capsys.readouterr()
    lines = out.splitlines()
    last = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else None
    return ended.value.code, last, err


def config(tmp_path, **tree):
    path = tmp_path / "night.yaml"
    base = {
        "output": str(tmp_path / "out"),
        "reader": {"kind": "folder", "uri": str(tmp_path / "lake")},
    }
    path.write_text(yaml.safe_dump(base | tree))
    return str(path)


def test_all_mistakes_are_reported_at_once(capsys, tmp_path):
    path = config(tmp_path, masks={"point_per_side": 8}, pooling={"kind": "mean"}, exprts=[])
    code, last, err = run(capsys, "nightly", "-c", path)
    assert code == last["exit"] == 2
    assert "3 mistakes" in err
    assert "did you mean 'points_per_side'?" in err
    assert "did you mean 'exports'?" in err
    assert "pooling.kind" in err


@pytest.mark.parametrize(
    ("tree", "code", "message"),
    [
        ({}, 3, "lake does not exist"),
        ({"model": {"checkpoint": "vit_hh"}}, 3, "vit_h"),
        ({"model": {"checkpoint": "/no/such/sam.pth"}}, 3, "/no/such/sam.pth"),
        ({"model": {"checkpoint": "tiny", "sha256": "0" * 64}}, 3, "0" * 64),
        ({"output": "http://host/out"}, 2, "atomic create"),
    ],
    ids=["missing lake", "unknown checkpoint", "missing file", "wrong digest", "bad output"],
)
def test_errors_are_one_message_without_traceback(capsys, tmp_path, tree, code, message):
    got, last, err = run(capsys, "plan", "-c", config(tmp_path, **tree))
    assert (got, last["exit"]) == (code, code)
    assert message in err and message in last["message"]
    assert "Traceback" not in err


def test_an_empty_lake_is_an_error(capsys, tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "notes.txt").write_text("no image")
    code, last, err = run(capsys, "plan", "-c", config(tmp_path))
    assert (code, last["error"]) == (3, "LakeError")
    assert "found 1 other" in err and "reader.uri" in err


def test_planning_reports_new_objects(capsys, tmp_path):
    (tmp_path / "lake").mkdir()
    for i in range(3):
        (tmp_path / "lake" / f"{i}.jpg").write_bytes(b"x")
    path = config(tmp_path)
    code, last, _ = run(capsys, "plan", "-c", path)
    assert (code, last["counts"]["plan"]["sources"]) == (0, 3)
    code, last, _ = run(capsys, "plan", "-c", path)
    assert (code, last["counts"]["plan"]) == (
        0,
        {
            **dict.fromkeys(("shards", "sources", "changed", "ignored", "again"), 0),
            "known": 3,
            "left_out": {},
            "skipped": {},
            "skipped_count": 0,
        },
    )
    code, last, _ = run(capsys, "status", str(tmp_path / "out"))
    assert (code, last["complete"], last["sources"], last["images"]) == (0, False, 3, 0)


def test_embedding_before_planning_suggests_the_next_step(capsys, tmp_path):
    (tmp_path / "lake").mkdir()
    code, _, err = run(capsys, "embed", "-c", config(tmp_path))
    assert code == 3 and "samseg plan" in err


@pytest.mark.parametrize("arguments", [("status",), ("query", "select 1", "-o")], ids=str)
def test_a_missing_output_is_an_error_and_not_created(capsys, tmp_path, arguments):
    missing = tmp_path / "labels"
    code, _, err = run(capsys, *arguments, str(missing))
    assert code == 2 and "no output folder" in err and "samseg nightly" in err
    assert not missing.exists()


def test_a_query_needs_an_output(capsys, monkeypatch):
    monkeypatch.delenv("SAMSEG_OUTPUT", raising=False)
    code, _, err = run(capsys, "query", "select 1")
    assert code == 2 and "--output" in err


def test_a_query_prints_rows(capsys, small_output):
    made = small_output()
    with pytest.raises(SystemExit) as ended:
        sql = "select class_id, count(*) as n from labels group by all order by 1"
        cli.main(["query", sql, "-o", made.output.uri, "--format", "csv"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == '"class_id","n"'
    assert len(lines) == 1 + len(set(made.class_of.values()))


@pytest.mark.parametrize("masks", [True, False])
def test_a_lake_with_too_few_masks_has_no_classes_and_says_so(
    capsys, tmp_path, small_output, masks
):
    made = small_output(keys=("a.jpg",), codebook=False, masks=masks)
    path = config(tmp_path, output=made.output.uri)
    for _ in range(2):
        code, last, err = run(capsys, "cluster", "-c", path)
        assert (code, last["counts"]["cluster"]["classes"]) == (0, 0)
        assert "there are no classes: no group of similar masks is large enough" in err


@pytest.mark.parametrize("stage", ["cluster", "export", "report"])
def test_a_stage_over_an_output_without_rows_is_an_error(capsys, tmp_path, stage):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "a.jpg").write_bytes(b"x")
    path = config(tmp_path, exports=[{"kind": "coco"}])
    code, _, err = run(capsys, stage, "-c", path)
    assert code == 2 and "there is no output folder" in err
    assert not list((tmp_path / "out").glob("*"))
    run(capsys, "plan", "-c", path)
    code, last, err = run(capsys, stage, "-c", path)
    assert (code, last["error"]) == (3, "LakeError") and "has no labelled images yet" in err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["lake.json", "plan"]


def test_an_export_of_no_format_is_an_error(capsys, tmp_path, small_output):
    path = config(tmp_path, output=small_output(codebook=False).output.uri)
    code, _, err = run(capsys, "export", "-c", path)
    assert code == 2 and "exports=[coco]" in err


def test_a_night_that_cannot_start_leaves_no_recipe(capsys, tmp_path, monkeypatch):
    from samseg.demo.lake import write_demo_lake
    from samseg.stages.embed.stage import EmbedSpec

    def broken(self, slot):
        raise RuntimeError("no memory")

    write_demo_lake(tmp_path / "lake", photos=False, scenes=1)
    path = config(tmp_path, engine={"kind": "local", "threads": 1}, masks={"points_per_side": 2})
    with monkeypatch.context() as patched:
        patched.setattr(EmbedSpec, "build", broken)
        code, _, err = run(capsys, "nightly", "-c", path)
    assert code == 3 and "no memory" in err
    assert not list((tmp_path / "out").glob("**/recipe.json"))
    assert run(capsys, "nightly", "-c", path, "masks.points_per_side=3")[0] == 0
    code, _, err = run(capsys, "plan", "-c", path)
    assert code == 2 and "the folder has 3, the config wants 2" in err


def test_files_of_other_types_are_counted(capsys, tmp_path):
    (tmp_path / "lake").mkdir()
    for name in ("a.jpg", "b.dng", "c.DNG", "notes.txt", ".hidden.dng"):
        (tmp_path / "lake" / name).write_bytes(b"x")
    _, last, err = run(capsys, "plan", "-c", config(tmp_path))
    assert last["counts"]["plan"]["left_out"] == {".dng": 2, ".txt": 1}
    assert "2 .dng, 1 .txt left out" in err


@pytest.mark.parametrize("start", [["samseg.cli"], ["samseg"]])
def test_python_m_prints_the_version(start):
    import subprocess
    import sys

    import samseg

    ran = subprocess.run(
        [sys.executable, "-m", *start, "--version"], capture_output=True, text=True
    )
    assert ran.stdout == f"samseg {samseg.__version__}\n"


def test_a_query_loads_what_it_needs(small_output):
    """It starts in under a second: no settings of a night, no engine, no torch."""
    code = f"""
import sys
from samseg.cli import main
try:
    main(["query", "select count(*) from masks", "-o", {small_output().output.uri!r}])
except SystemExit as ended:
    assert ended.code == 0, ended.code
unneeded = {{"samseg.config", "samseg.engine", "samseg.features", "torch", "ray"}}
assert not unneeded & sys.modules.keys(), unneeded & sys.modules.keys()
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("via", "message"),
    [
        (("fiftyone", "voc"), "got 'fiftyone', wanted `--via datumaro FORMAT`"),
        (("datumaro", "pdf"), "got 'pdf', wanted one of cvat, datumaro, label_me, voc"),
    ],
)
def test_formats_via_other_tools_are_checked(capsys, tmp_path, via, message):
    code, last, err = run(capsys, "export", "-c", config(tmp_path), "--via", *via)
    assert code == last["exit"] == 2
    assert message in err


def test_failed_images_are_retried_on_request(capsys, tmp_path):
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "a.jpg").write_bytes(b"no image")
    settings = ("-c", config(tmp_path), "engine.kind=local", "masks.points_per_side=1")
    code, last, _ = run(capsys, "nightly", *settings)
    assert (code, last["failed"]) == (1, 1)
    code, last, _ = run(capsys, "status", str(tmp_path / "out"))
    assert (code, last["complete"], last["statuses"]) == (1, True, {"undecodable": 1})
    code, last, _ = run(capsys, "nightly", *settings)
    assert (code, last["counts"]["embed"]["images"]) == (0, 0), "nothing new has failed"
    code, last, _ = run(capsys, "nightly", *settings, "--retry-failed", "undecodable,crashed")
    assert (code, last["counts"]["plan"]["again"], last["failed"]) == (1, 1, 1)
    code, _, err = run(capsys, "nightly", *settings, "--retry-failed", "undecodable,ok")
    assert code == 2 and "unreadable,undecodable," in err


@pytest.mark.parametrize("override", ["reader.uri=other", "output=other"])
def test_a_lake_or_output_given_twice_is_a_mistake(capsys, tmp_path, override):
    (tmp_path / "lake").mkdir()
    arguments = ["label", str(tmp_path / "lake"), "-o", str(tmp_path / "out"), override]
    code, last, _ = run(capsys, *arguments)
    assert code == 2 and "is given twice" in last["message"]
