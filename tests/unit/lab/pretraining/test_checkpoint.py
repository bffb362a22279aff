"""Checkpoints to resume from, and exported weights."""

import hashlib

import pytest
import torch

from samseg.errors import CheckpointError
from samseg.lab.pretraining import checkpoint
from samseg.lab.pretraining.checkpoint import export
from samseg.sam.tiny.build import build_tiny
from samseg.sam.weights.load import load_model
from samseg.sam.weights.tensors import safetensors_metadata


def test_saving_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"step": 1})

    def broken(state, file):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(path, {"step": 2})
    assert checkpoint.load(path) == {"step": 1}


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x02ccopy\ncopy\n."])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    wanted = r"cannot resume from .*checkpoint\.pt.*delete it"
    with pytest.raises(CheckpointError, match=wanted) as refused:
        checkpoint.load(path)
    assert "weights_only" not in str(refused.value)


def test_the_same_weights_give_the_same_file(tmp_path):
    torch.manual_seed(0)
    model, path = build_tiny(), tmp_path / "weights.safetensors"
    settings = {"pred_iou_thresh": 0.5, "points_per_side": 8}
    digests = {export(model, path, settings) for _ in range(12)}
    assert digests == {hashlib.sha256(path.read_bytes()).hexdigest()}
    assert safetensors_metadata(path)["arch"] == "tiny"
    for name, value in load_model(str(path)).state_dict().items():
        wanted = model.state_dict()[name]
        if wanted.is_floating_point():
            wanted = wanted.half().float()
        assert value.equal(wanted), name
