import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from samseg import config as configs
from samseg import shipped
from samseg.cli import main
from samseg.commands.start import config_for
from samseg.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("lake", "kind", "output"),
    [
        ("photos", "folder", "photos-labels"),
        ("a=b", "folder", "a=b-labels"),
        ("s3://bucket/photos/", "folder", "photos-labels"),
        ("s3://bucket", "folder", "bucket-labels"),
        ("photos.tar", "webdataset", "photos-labels"),
        ("gs://bucket/train/*.tar", "webdataset", "train-labels"),
        ("*.tar", "webdataset", "{cwd}-labels"),
        ("photos/2024-*", "folder", "photos-labels"),
        ("tars/train-{000..019}.tar.zst", "webdataset", "tars-labels"),
        (".", "folder", "{cwd}-labels"),
    ],
)
def test_a_lake_needs_no_config(lake, kind, output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = config_for(lake, None, ())
    assert config.reader.kind == kind
    assert config.output == output.format(cwd=tmp_path.name)
    assert config.reader.uri.startswith(lake if "://" in lake else str(tmp_path))


def test_the_config_is_the_one_that_the_yaml_gives():
    path = ROOT / "configs" / "quickstart.yaml"
    overrides = ["masks.points_per_side=24", "exports=[{kind: yolo}]"]
    wanted = configs.load(path, [*overrides, "reader.uri=s3://bucket/a", "output=s3://bucket/b"])
    assert config_for("s3://bucket/a", "s3://bucket/b", overrides) == wanted


def test_another_reader_may_be_named():
    found = config_for("s3://bucket/a", None, ["reader.kind=webdataset"])
    assert (found.reader.kind, found.reader.uri) == ("webdataset", "s3://bucket/a")


def test_a_lake_that_is_one_file_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(ConfigError, match="is a file; give the folder"):
        config_for(str(tmp_path / "a.jpg"), None, ())


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_the_first_argument_is_the_lake_and_the_others_are_settings(capsys, tmp_path):
    code = run("label", str(tmp_path / "x=y"), "masks.point_per_side=3", "-o", str(tmp_path / "o"))
    assert code == 2 and "masks.point_per_side" in capsys.readouterr().err
    code = run("label", str(tmp_path / "x=y"), "-o", str(tmp_path / "o"))
    assert code == 3 and "x=y does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["local", "cluster"])
def test_init_writes_a_commented_config_once(kind, capsys, tmp_path):
    path = tmp_path / "mine.yaml"
    assert run("init", str(path), "--kind", kind) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["config"] == str(path)
    text = path.read_text()
    assert str(path) in text and "configs/" not in text.splitlines()[1]
    assert (configs.load(path).model.checkpoint == "tiny") == (kind == "local")
    path.write_text("mine")
    assert run("init", str(path)) == 2
    assert path.read_text() == "mine"


def test_a_shipped_config_is_found_where_there_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert configs.load("configs/vit_h.yaml").model.checkpoint == "vit_h"
    with pytest.raises(ConfigError, match="samseg init"):
        configs.load("vit_h.yaml")
    (tmp_path / "configs").mkdir()
    own = {"output": "o", "reader": {"kind": "folder", "uri": "l"}}
    (tmp_path / "configs" / "vit_h.yaml").write_text(yaml.safe_dump(own))
    assert configs.load("configs/vit_h.yaml").model.checkpoint == "tiny"


@pytest.mark.slow
def test_the_wheel_holds_the_configs_and_finds_them(tmp_path):
    built = ["uv", "build", "--wheel", "--out-dir", str(tmp_path), str(ROOT)]
    subprocess.run(built, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extract("samseg/shipped.py", tmp_path)
        configs_inside = {n for n in names if n.startswith("samseg/configs/")}
        archive.extractall(tmp_path, configs_inside)
    written = {f"samseg/{f.relative_to(ROOT)}" for f in (ROOT / "configs").glob("*.[yp]*")}
    assert configs_inside == written
    code = "import shipped; print(len(shipped.shipped_configs()))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "samseg", capture_output=True, text=True
    )
    assert int(ran.stdout) == len(shipped.shipped_configs()) > 0
