"""Evaluations of the shipped model on a set of two generated photos, and the command."""

import json

import numpy as np
import pytest
import torch

from samseg import cli
from samseg.errors import CheckpointError, ConfigError
from samseg.lab.evaluation.masks import report
from samseg.lab.evaluation.masks.encoding import LastFeatures, encode_seconds
from samseg.lab.evaluation.masks.measure import evaluate
from samseg.lab.evaluation.masks.record import Evaluation, Protocol
from samseg.lab.labelled import LabelledSet, is_held_out
from samseg.progress import Silent
from samseg.sam.network.encoder import ImageEncoder

PROTOCOL = Protocol(points_per_side=2, automatic_photos=1, segments=2)


@pytest.fixture(scope="module")
def record(drawn) -> Evaluation:
    return evaluate([drawn.labelled], ["tiny", "tiny"], PROTOCOL, Silent())


def test_scores(record):
    model = record.models[0]
    (scores,) = model.sets
    assert (scores.photos, scores.segments) == (2, 4)
    assert 0 <= scores.preferred <= scores.best <= 1
    assert scores.best > 0.3  # plain discs
    assert scores.clicks[0] == pytest.approx(scores.preferred, abs=2e-3)
    assert scores.calibration.masks == 12
    assert (scores.groups[0].name, scores.groups[0].segments) == ("all", 4)
    assert scores.groups[0].best.value == pytest.approx(scores.best)
    assert (scores.automatic.photos, scores.automatic.segments) == (1, 6)
    assert scores.structure is None  # only six segments per category
    assert model.encode_seconds > 0 and len(model.sha256) == 64


def test_the_same_checkpoint_has_the_same_scores(record):
    first, second = (m.sets[0].model_copy(update={"seconds": 0.0}) for m in record.models)
    assert first == second


def test_records_survive_a_json_round_trip(record):
    assert Evaluation.model_validate_json(record.model_dump_json()) == record


def test_a_photo_is_encoded_once(segmenter, drawn):
    calls = []

    def backbone(images):
        calls.append(len(images))
        return images.mean() + torch.zeros(len(images), 256, 64, 64)

    encoder = ImageEncoder(segmenter.model, backbone)
    cached = ImageEncoder(segmenter.model, LastFeatures(encoder))
    other = drawn.labelled.read("b")
    photos = [drawn.photo.pixels, drawn.photo.pixels, other.pixels, drawn.photo.pixels]
    for pixels in photos:
        torch.testing.assert_close(
            cached.encode(pixels).features, encoder.encode(pixels).features, rtol=0, atol=0
        )
    assert len(calls) == len(photos) + 3


def test_every_timed_encoding_runs_the_backbone(segmenter):
    calls = []

    def backbone(images):
        calls.append(len(images))
        return torch.zeros(1, 256, 64, 64)

    assert encode_seconds(ImageEncoder(segmenter.model, backbone)) > 0
    assert len(calls) == 4


def test_missing_checkpoints_are_refused_before_any_is_evaluated(drawn, monkeypatch):
    monkeypatch.setattr("samseg.lab.evaluation.masks.measure.Segmenter.load", lambda *a, **k: 1 / 0)
    with pytest.raises(CheckpointError, match="/no/such"):
        evaluate([drawn.labelled], ["tiny", "/no/such.safetensors"], PROTOCOL, Silent())


def test_a_set_with_small_segments_only_is_refused(tmp_path, drawn):
    from PIL import Image

    for folder, array in (
        ("images", np.zeros((60, 60, 3), np.uint8)),
        ("instances", np.eye(60, dtype=np.uint16) * (np.arange(60) < 5)),
    ):
        (tmp_path / folder).mkdir()
        Image.fromarray(array).save(tmp_path / folder / "a.png")
    with pytest.raises(ConfigError, match=r"no segment of the 1 photos of .* more than 0\.2%"):
        evaluate([LabelledSet(tmp_path)], ["tiny"], PROTOCOL, Silent())


def test_only_held_out_photos_are_evaluated(drawn):
    few = {"points_per_side": 2, "automatic_photos": 0, "segments": 1}
    share = next(
        s / 100 for s in range(1, 100) if is_held_out("a", s / 100) != is_held_out("b", s / 100)
    )
    found = evaluate([drawn.labelled], ["tiny"], Protocol(held_out=share, **few), Silent())
    assert found.models[0].sets[0].photos == 1
    with pytest.raises(ConfigError, match=r"no photo is held out with held_out 0\.001"):
        evaluate([drawn.labelled], ["tiny"], Protocol(held_out=0.001, **few), Silent())


def test_tables(record, capsys):
    from rich.console import Console

    Console(width=120).print(*report.tables(record))
    shown = capsys.readouterr().out
    best = f"{record.models[0].sets[0].best:.3f}"
    assert shown.count(best) >= 2 and "discs: 2 photos, 4 segments" in shown
    assert "k-means" not in shown  # no checkpoint has it
    lines = report.markdown(record).splitlines()
    assert lines[0] == "| set | measure | `tiny` | `tiny` |"
    assert f"| discs | one click, best of three masks | {best} | {best} |" in lines
    assert {line.count("|") for line in lines} == {5}


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["eval", "masks", *arguments])
    return ended.value.code


OPTIONS = ("--segments", "1", "--photos", "1", "--automatic-photos", "0")


def test_the_command(capsys, drawn, tmp_path):
    file = tmp_path / "scores.json"
    assert run(str(drawn.folder), *OPTIONS, "--json", str(file)) == 0
    out, err = capsys.readouterr()
    written = Evaluation.model_validate_json(file.read_text())
    (scores,) = written.models[0].sets
    assert (scores.photos, scores.segments, scores.automatic) == (1, 1, None)
    last = json.loads(out.splitlines()[-1])
    assert last == {
        "samseg": "eval masks",
        "exit": 0,
        "one_click_best": {"tiny": {"discs": scores.best}},
    }
    assert "one click, best of three masks" in err


def test_the_command_prints_only_markdown(capsys, drawn):
    assert run(str(drawn.folder), *OPTIONS, "--markdown") == 0
    out, _ = capsys.readouterr()
    assert {line[0] for line in out.splitlines()} == {"|"}


def test_a_folder_that_is_no_set_is_refused(capsys, tmp_path):
    assert run(str(tmp_path)) == 2
    out, err = capsys.readouterr()
    assert "samseg/lab/labelled.py" in err
    assert json.loads(out.splitlines()[-1])["error"] == "ConfigError"
