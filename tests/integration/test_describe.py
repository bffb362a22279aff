"""Named embeddings over whole commands, with the networks that ship in the package."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from samseg import cli
from samseg.output import Output
from samseg.stages.status import status_of

NAME = "efficientnet_lite0"


@pytest.fixture
def lake(tmp_path):
    folder = tmp_path / "lake"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        pixels = np.full((60, 80, 3), 130, np.uint8)
        pixels[10:34, 8 + 5 * i : 40] = (220, 60, 40)
        pixels[36:56, 44:72] = (30, 60, 190)
        noisy = pixels + rng.normal(scale=4, size=pixels.shape)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def run(tmp_path, lake, capsys):
    """Run a command over the lake; return its exit code, last line and standard error."""

    def command(name, output, **tree):
        path = tmp_path / "night.yaml"
        base = {
            "output": str(tmp_path / output),
            "reader": {"kind": "folder", "uri": str(lake), "images_per_shard": 2},
            "masks": {"points_per_side": 3},
            "engine": {"kind": "local", "threads": 1, "attempts": 1},
        }
        path.write_text(yaml.safe_dump(base | tree))
        with pytest.raises(SystemExit) as ended:
            cli.main([name, "-c", str(path)])
        out, err = capsys.readouterr()
        return ended.value.code, json.loads(out.splitlines()[-1]), err

    return command


def objects(folder: Path) -> dict[str, bytes]:
    """Return all objects but those of nights."""
    paths = (p for p in folder.rglob("*") if p.is_file() and "nights" not in p.parts)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


@pytest.mark.usefixtures("one_thread")
def test_an_output_described_later_is_as_one_done_at_once(run, tmp_path):
    for stage in ("plan", "embed"):
        assert run(stage, "at_once")[0] == 0
        assert run(stage, "later", embeddings=[])[0] == 0
    assert not Output(str(tmp_path / "later")).embeddings()
    code, last, err = run("describe", "later")
    assert (code, last["error"]) == (2, "ConfigError") and "names an embedding to add" in err

    code, last, err = run("embed", "later", embeddings=[{"kind": NAME}])
    assert code == 0 and "2 committed shards lack an embedding of efficientnet_lite0" in err
    assert "samseg describe -c CONFIG" in err
    code, last, err = run("describe", "later")
    assert (code, last["counts"]["describe"]["shards"]) == (0, 2)
    at_once, later = (objects(tmp_path / name) for name in ("at_once", "later"))
    same = [key for key in at_once if key.startswith(("embeddings/", "recipe", "plan/"))]
    assert len(same) == 5
    assert {key: at_once[key] for key in same} == {key: later[key] for key in same}

    output = Output(str(tmp_path / "later"))
    assert status_of(output).embeddings == {NAME: 2}
    assert output.recipe(NAME)["long_side"] == 640


def test_mistakes_with_embeddings(run, tmp_path):
    code, _, err = run("describe", "nowhere")
    assert code == 2 and "there is no output folder" in err
    for stage in ("plan", "embed"):
        assert run(stage, "out")[0] == 0
    code, last, err = run("plan", "out", embeddings=[{"kind": NAME, "long_side": 1024}])
    assert (code, last["error"]) == (2, "RecipeError")
    assert "long_side: the folder has 640, the config wants 1024" in err
    assert "Use another name" in err
    two = [{"kind": NAME, "name": "large", "long_side": 1024}, {"kind": NAME}]
    assert run("plan", "out", embeddings=two)[0] == 0
    assert Output(str(tmp_path / "out")).embeddings() == [NAME, "large"]


def test_weights_in_a_file_that_moved(run, tmp_path, monkeypatch):
    import timm
    from safetensors.torch import save_file

    from samseg.sam.weights.digest import sha256_of

    first, later = tmp_path / "first.safetensors", tmp_path / "later.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), first)
    named = {"kind": "timm", "name": "res", "model": "resnet18", "long_side": 64}
    named |= {"weights": str(first), "sha256": sha256_of(first)}
    for stage in ("plan", "embed"):
        assert run(stage, "out", embeddings=[named])[0] == 0
    before = objects(tmp_path / "out")

    first.rename(later)
    code, last, err = run("nightly", "out", embeddings=[named])
    assert (code, last["error"]) == (3, "CheckpointError")
    assert f"no file {first}" in err and f"made with weights of sha256 {named['sha256']}" in err
    assert objects(tmp_path / "out") == before

    assert run("plan", "out", embeddings=[named | {"weights": str(later)}])[0] == 0

    other = tmp_path / "other.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), other)
    changed = named | {"weights": str(other), "sha256": sha256_of(other)}
    code, last, err = run("plan", "out", embeddings=[changed])
    assert (code, last["error"]) == (2, "RecipeError")
    assert f'the folder has "{named["sha256"]}", the config wants "{changed["sha256"]}"' in err

    def offline(*arguments, **settings):
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    code, last, err = run("plan", "out")  # the folder has the embedding, and not where weights are
    assert (code, last["error"]) == (3, "CheckpointError")
    assert "no network" in err and f"made with weights of sha256 {named['sha256']}" in err
