import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.modeling import Sam

from samseg.errors import CheckpointError, DeviceError
from samseg.sam.tiny.lite0_encoder import Lite0Encoder
from samseg.sam.weights import load as models
from samseg.sam.weights.digest import sha256_of
from samseg.sam.weights.load import build_model, load_model, resolve_device
from samseg.sam.weights.registry import resolve


def test_reference_accepts_the_shipped_model(tiny, scene):
    assert isinstance(tiny, Sam)
    assert not tiny.training
    predictor = SamPredictor(tiny)
    predictor.set_image(scene(60, 80))
    masks, scores, _ = predictor.predict(point_coords=np.array([[30, 30]]), point_labels=[1])
    assert masks.shape == (3, 60, 80)
    assert np.isfinite(scores).all()
    SamAutomaticMaskGenerator(tiny, points_per_side=2).generate(scene(60, 80))


@pytest.mark.parametrize(("name", "place"), [("tiny", 0), ("tiny-2", 0), ("tiny-1", 1)])
def test_model_card_names_digest_and_recommended_settings(name, place):
    found = resolve(name)
    card = (found.path.parent / "MODEL_CARD.md").read_text()
    digests = re.findall(r"\b[0-9a-f]{64}\b", card)
    assert digests[place] == found.sha256 == sha256_of(found.path)
    assert found.recommended
    for name, value in found.recommended.items():
        assert f"`{name}` {value}" in card


def test_the_second_small_model_is_told_from_its_weights_and_segments(scene):
    model = load_model("tiny-2")
    assert isinstance(model.image_encoder, Lite0Encoder)
    predictor = SamPredictor(model)
    predictor.set_image(scene(60, 80))
    masks, _, _ = predictor.predict(point_coords=np.array([[30, 30]]), point_labels=[1])
    assert masks.shape == (3, 60, 80)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_round_trip(tmp_path, tiny, suffix):
    path = tmp_path / f"mine{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    save(tiny.state_dict(), path)
    loaded = load_model(path)
    for name, weight in tiny.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight, rtol=0, atol=0)


@pytest.mark.parametrize(("width", "arch"), [(768, "vit_b"), (1024, "vit_l"), (1280, "vit_h")])
def test_architecture_is_detected_from_the_weights(width, arch):
    weights = {"image_encoder.pos_embed": torch.zeros(1, 64, 64, width)}
    assert models.architecture_of(weights, Path("x.pth")) == arch


def test_vit_b_round_trip(tmp_path):
    made = build_model("vit_b")
    torch.save(made.state_dict(), tmp_path / "sam.pth")
    loaded = load_model(tmp_path / "sam.pth")
    torch.testing.assert_close(
        loaded.mask_decoder.iou_token.weight, made.mask_decoder.iou_token.weight
    )


def without(weights, name):
    return {k: v for k, v in weights.items() if k != name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: without(w, "mask_decoder.iou_token.weight"), "1 missing (mask_decoder.iou_tok"),
        (lambda w: {**w, "more": torch.zeros(1)}, "1 unknown (more)"),
        (
            lambda w: {**w, "mask_decoder.iou_token.weight": torch.zeros(2, 2)},
            "iou_token.weight is (2, 2), wanted (1, 256)",
        ),
        (lambda w: {"a.weight": torch.zeros(1)}, "unknown architecture (first keys: a.weight)"),
        (lambda w: {"image_encoder.pos_embed": torch.zeros(1, 8, 8, 9)}, "unknown architecture"),
        (lambda w: [1, 2], "contains a list, wanted a state dict"),
    ],
)
def test_mismatching_weights_are_refused(tmp_path, tiny, change, words):
    path = tmp_path / "mine.pth"
    torch.save(change(tiny.state_dict()), path)
    with pytest.raises(CheckpointError, match=re.escape(words)):
        load_model(path)


class Dangerous:
    """Creates a file when unpickled without safeguards."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_weights(tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(b"not a state dict")
    with pytest.raises(CheckpointError, match="damaged or not a state dict"):
        load_model(path)


def test_code_in_the_file_is_not_executed(tmp_path):
    torch.save({"a": Dangerous(tmp_path / "made")}, tmp_path / "mine.pth")
    with pytest.raises(CheckpointError, match="cannot read weights"):
        load_model(tmp_path / "mine.pth")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("wanted", "gpus", "chosen"),
    [
        ("cpu", 0, "cpu"),
        ("cpu", 4, "cpu"),
        ("auto", 0, "cpu"),
        ("auto", 4, "cuda:0"),
        ("cuda", 1, "cuda:0"),
    ],
)
def test_device(monkeypatch, wanted, gpus, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    assert str(resolve_device(wanted)) == chosen


def test_missing_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with pytest.raises(DeviceError, match=r"CUDA_VISIBLE_DEVICES='7'.*set device to cpu"):
        resolve_device("cuda")
