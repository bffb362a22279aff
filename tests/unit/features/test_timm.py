"""Mistakes in embeddings of kind timm, each with its message."""

import sys

import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from samseg.errors import CheckpointError, ConfigError
from samseg.features import TimmEmbedding
from samseg.sam.weights.digest import sha256_of


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("timm") / "resnet18.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), path)
    return path


def spec(path, **settings):
    given = {"model": "resnet18", "long_side": 64} | settings
    return TimmEmbedding(weights=str(path), sha256=sha256_of(path), **given)


def test_timm_missing(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"pip install 'samseg\[timm\]'"):
        spec(weights).load("cpu")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"model": "resnet19"}, ConfigError, "has no model 'resnet19'"),
        ({"model": "resnet1"}, ConfigError, "did you mean one of .*resnet1"),
        ({"model": "resnet34"}, CheckpointError, "resnet34 cannot be made with .*resnet18"),
        ({"model": "vit_tiny_patch16_224"}, CheckpointError, "cannot be made with"),
        ({"layers": (7,)}, ConfigError, "resnet18 has 5 layers, and `layers` is"),
    ],
)
def test_what_cannot_be_loaded_is_named(weights, settings, error, message):
    with pytest.raises(error, match=message):
        spec(weights, **settings).load("cpu")


NEEDS_THE_FILE = pytest.mark.parametrize(
    "use", [TimmEmbedding.recipe, lambda e: e.load("cpu")], ids=["recipe", "load"]
)


@NEEDS_THE_FILE
def test_another_file_is_refused(weights, use):
    wrong = spec(weights).model_copy(update={"sha256": "0" * 64})
    with pytest.raises(CheckpointError, match="wanted 0000"):
        use(wrong)


@NEEDS_THE_FILE
def test_a_file_that_is_not_there(weights, use):
    gone = spec(weights).model_copy(update={"weights": "nowhere.pth"})
    message = rf"no file .*nowhere\.pth; set `weights` to where .* {gone.sha256} is now"
    with pytest.raises(CheckpointError, match=message):
        use(gone)


def test_weights_that_cannot_be_fetched(monkeypatch):
    def offline(*arguments, **settings):
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(CheckpointError, match=r"no network; for weights in a file set `weights`"):
        TimmEmbedding(model="resnet18").recipe()


def test_a_file_that_would_run_code_is_not_run(tmp_path):
    class Surprise:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    path = tmp_path / "surprise.pth"
    torch.save({"conv1.weight": Surprise()}, path)
    with pytest.raises(CheckpointError, match="cannot be made with"):
        spec(path).load("cpu")
    assert not (tmp_path / "ran").exists()


def test_a_file_needs_its_digest():
    with pytest.raises(ValidationError, match="go together"):
        TimmEmbedding(model="resnet18", weights="resnet18.pth")


def test_the_licence_is_told(weights):
    told = TimmEmbedding(model="vit_small_patch14_dinov2.lvd142m", name="dinov2").notice()
    assert told == (
        "embedding dinov2: weights of timm's vit_small_patch14_dinov2.lvd142m, licence apache-2.0"
    )
    assert str(weights) in str(spec(weights).notice())
