import io
import json
import re
import struct
import traceback
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
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


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict"])
def test_the_state_dict_of_a_training_checkpoint_is_found(tmp_path, tiny, key):
    weights = tiny.state_dict()
    optimizer = {"state": {0: torch.ones(2)}, "param_groups": [{"lr": 0.1}]}
    torch.save({"epoch": 3, key: weights, "optimizer": optimizer}, tmp_path / "mine.pth")
    loaded = load_model(tmp_path / "mine.pth").state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in weights.items())


@pytest.mark.parametrize(
    ("written", "suffix"),
    [(".safetensors", ".pth"), (".pth", ".safetensors"), ("old", ".pth"), ("old", ".safetensors")],
)
def test_the_format_is_told_by_the_contents(tmp_path, tiny, written, suffix):
    path = tmp_path / f"mine{suffix}"
    if written == ".safetensors":
        save_file(tiny.state_dict(), path)
    else:
        torch.save(tiny.state_dict(), path, _use_new_zipfile_serialization=written != "old")
    assert load_model(path).state_dict().keys() == tiny.state_dict().keys()


IOU = "mask_decoder.iou_token.weight"


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (torch.zeros(1, 256).to_sparse(), "1 of the wrong type"),
        (torch.zeros(1, 256, device="meta"), "1 of the wrong type"),
        (torch.zeros(1, 256, dtype=torch.complex64), "1 of the wrong type"),
        (torch.zeros(1, 256, dtype=torch.int64), f"1 of the wrong type ({IOU} is torch.int64"),
        ([0.0], "contains a dict, wanted a state dict"),
    ],
    ids=["sparse", "meta", "complex", "whole numbers", "list"],
)
@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
def test_weights_that_are_no_dense_floats_are_refused(tmp_path, tiny, odd, words):
    torch.save({**tiny.state_dict(), IOU: odd}, tmp_path / "mine.pth")
    with pytest.raises(CheckpointError, match=re.escape(words)):
        load_model(tmp_path / "mine.pth")


def headed(header: object, data: bytes = b"") -> bytes:
    """Return a file in the layout of safetensors."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def zipped(compression: int = zipfile.ZIP_STORED, **entries: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as z:
        for name, content in entries.items():
            z.writestr(name.replace("__", "/").replace("_", "."), content)
    return archive.getvalue()


def encrypted(archive: bytes) -> bytes:
    """Return a zip archive with the flag of encryption set."""
    directory = archive.index(b"PK\1\2")
    marked = bytearray(archive)
    marked[6] |= 1
    marked[directory + 8] |= 1
    return bytes(marked)


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
ODD = {
    "empty": b"",
    "one byte": b"x",
    "page": b"<!DOCTYPE html><title>Sign in</title>",
    "header is a list": headed([1, 2]),
    "header of numbers": headed({"a": 5}),
    "header nested deeply": headed(b'{"a":' + b"[" * 200_000),
    "header is not UTF-8": headed(b'{"a\xff": 1}'),
    "metadata is a number": headed({"__metadata__": 5}),
    "no offsets": headed({"a": {"dtype": "F32", "shape": [1]}}),
    "offsets of text": headed({"a": {**ENTRY, "data_offsets": "xx"}}),
    "negative offsets": headed({"a": {**ENTRY, "data_offsets": [-4, 0]}}),
    "offsets after the end": headed({"a": ENTRY}, b"ab"),
    "bytes after the end": headed({"a": ENTRY}, b"abcdef"),
    "unknown type": headed({"a": {**ENTRY, "dtype": "F99"}}, b"abcd"),
    "odd half": headed({"a": {"dtype": "F16", "shape": [1], "data_offsets": [0, 3]}}, b"abc"),
    "photos": zipped(a_jpg=b"x"),
    "photos in a folder": zipped(data__a_jpg=b"x"),
    "compressed": zipped(zipfile.ZIP_DEFLATED, x__data_pkl=b"x", x__data__0=b"x" * 99),
    "encrypted": encrypted(zipped(x__data__0=b"x", x__data_pkl=b"x")),
    "pickle of nothing": zipped(x__data_pkl=b"", x__version=b"3"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_odd_files_are_refused(tmp_path, content, suffix):
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot read weights from .*mine"):
        load_model(path)


def written(**options: object) -> bytes:
    file = io.BytesIO()
    torch.save({"a": torch.ones(3, 4), "b": torch.zeros(2)}, file, **options)
    return file.getvalue()


WHOLE = [
    written(),
    written(_use_new_zipfile_serialization=False),
    save({"a": torch.ones(2)}, {"mask_settings": '{"points_per_side": 3}'}),
]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(WHOLE), st.data())
def test_a_damaged_file_never_advises_to_execute_it(tmp_path, whole, data):
    at, length = data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, 40))
    path = tmp_path / data.draw(st.sampled_from(["mine.pth", "mine.safetensors"]))
    path.write_bytes(whole[:at] + data.draw(st.binary(max_size=20)) + whole[at + length :])
    with pytest.raises(CheckpointError) as refused:  # undamaged, it is not of SAM
        load_model(path)
    shown = "".join(traceback.format_exception(refused.value))
    assert "weights_only" not in shown.replace("weights_only=True", "") and "trust" not in shown


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_weights(tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(b"not a state dict")
    with pytest.raises(CheckpointError, match="damaged or not a state dict"):
        load_model(path)


def test_code_in_the_file_is_not_executed(tmp_path):
    torch.save({"a": Dangerous(tmp_path / "made")}, tmp_path / "mine.pth")
    with pytest.raises(CheckpointError, match="it holds more than tensors") as refused:
        load_model(tmp_path / "mine.pth")
    assert "two options" not in "".join(traceback.format_exception(refused.value))
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
