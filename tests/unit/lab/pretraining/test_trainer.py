"""Training runs: learning, usable weights, and the same result after an interruption."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import samseg
from samseg.backbones import efficientnet_lite0
from samseg.errors import ConfigError
from samseg.lab.pretraining.objective import PromptPlan, objective
from samseg.lab.pretraining.run import pretrain
from samseg.lab.pretraining.settings import Pretraining
from samseg.lab.pretraining.trainer import Trainer
from samseg.progress import Silent
from samseg.sam.threads import Threads
from samseg.sam.weights.load import read_weights


def settings(folder, steps=(2, 2), **changes):
    given = {
        "output": str(folder),
        "scenes": {"kinds": 20, "pasted": 0.0, "photographic": 0.0},
        "stages": [
            {"steps": steps[0], "window": 128, "pictures": 2, "clicks": 2},
            {"steps": steps[1], "window": 256, "pictures": 1, "clicks": 2, "freeze_norm": True},
        ],
        "warmup": 1,
        "loaders": 0,
        "sheet_every": 2,
        "corrections": [0.5, 0.5],
        "boxes": 0.5,
        "device": "cpu",
    } | changes
    return Pretraining.model_validate(given)


class Killed(Exception):
    pass


class KilledAt(Silent):
    """Simulates a kill: raises at one step."""

    def __init__(self, step):
        self.step = step

    def update(self, done, detail=""):
        if done == self.step:
            raise Killed


def test_a_run_ends_with_weights_that_segment(tmp_path):
    trained = pretrain(settings(tmp_path, recommended={"pred_iou_thresh": 0.2}), Silent())
    assert trained.steps == 4
    assert sorted(p.name for p in (tmp_path / "sheets").iterdir()) == ["0000002.jpg", "0000004.jpg"]
    segmenter = samseg.load_segmenter(trained.weights, points_per_side=2)
    assert segmenter.settings.pred_iou_thresh == 0.2
    assert segmenter.weights_sha256 == trained.sha256
    _, features = segmenter.segment(np.zeros((40, 60, 3), np.uint8))
    assert features.shape == (256, 64, 64)


def test_a_run_leaves_pytorch_s_settings(tmp_path):
    def flags():
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark

    before = flags()
    pretrain(settings(tmp_path, steps=(1, 1)), Silent())
    assert flags() == before


def test_a_killed_run_ends_like_an_uninterrupted_one(tmp_path, monkeypatch):
    monkeypatch.setattr("samseg.lab.pretraining.trainer._PROGRESS_EVERY_S", -1)  # each step
    whole = pretrain(settings(tmp_path / "whole"), Silent())
    often = {"checkpoint_every_s": 1e-6}
    for step in (2, 4):  # once in each stage; the current step is lost
        with pytest.raises(Killed):
            pretrain(settings(tmp_path / "killed", **often), KilledAt(step))
    ended = pretrain(settings(tmp_path / "killed", **often), Silent())
    one, other = (read_weights(tmp_path / "killed" / "weights.safetensors"), whole.weights)
    for name, value in read_weights(Path(other)).items():
        torch.testing.assert_close(one[name], value, rtol=0, atol=0, msg=name)
    assert ended.sha256 == whole.sha256


def test_it_learns(tmp_path):
    """The mask loss of an image that is trained on repeatedly falls."""
    run = settings(
        tmp_path,
        stages=[{"steps": 20, "window": 128, "pictures": 2, "clicks": 4, "freeze_norm": True}],
        start="tiny",
        uses=1000,
        corrections=[0, 0],
        boxes=0.0,
        weights={"kind": 0.0},
        learning_rate=0.0001,
        warmup=1,
    )
    trainer = Trainer(run, Silent())
    _, batch = next(trainer._batches())
    empty = torch.zeros(0, 256), torch.zeros(0, dtype=torch.int64)

    def cost():
        with torch.inference_mode():
            model, plan = trainer.model.eval(), PromptPlan(boxes=False, corrections=0, seed=0)
            return objective(model, batch, plan, run.weights, empty).figures["mask"]

    before = cost()
    trainer.run()
    assert cost() < before


@pytest.mark.parametrize(("start", "freeze"), [("tiny-1", True), (None, False)])
def test_frozen_norms_stay(tmp_path, start, freeze):
    """Those of a stage with `freeze_norm`; those of the ImageNet trunk in every stage."""
    frozen = [{"steps": 2, "window": 128, "pictures": 2, "clicks": 2, "freeze_norm": freeze}]
    trainer = Trainer(settings(tmp_path, start=start, stages=frozen), Silent())
    before = {k: v.clone() for k, v in trainer.model.state_dict().items() if "running" in k}
    trainer.run()
    after = trainer.model.state_dict()
    assert before and all(value.equal(after[name]) for name, value in before.items())


def test_a_group_without_a_learning_rate_stays(tmp_path):
    shape = {"steps": 2, "window": 128, "pictures": 2, "clicks": 2}
    stages = [shape | {"trunk_rate": 0.0, "decoder_rate": 0.5}, shape | {"decoder_rate": 0.0}]
    trainer = Trainer(settings(tmp_path, stages=stages), Silent())
    states = []
    for stage, batch in trainer._batches():
        states.append({k: v.clone() for k, v in trainer.model.state_dict().items()})
        trainer._take_step(stage, batch, Threads(1))
        trainer._curriculum.count()
    states.append(trainer.model.state_dict())

    def moved(before, after):
        return {
            part
            for part in ("image_encoder.trunk", "image_encoder.blocks_8", "mask_decoder")
            for name, value in before.items()
            if name.startswith(part) and not value.equal(after[name])
        }

    assert moved(states[0], states[2]) == {"image_encoder.blocks_8", "mask_decoder"}
    assert moved(states[2], states[4]) == {"image_encoder.trunk", "image_encoder.blocks_8"}


def test_it_begins_with_a_given_decoder_and_the_imagenet_trunk(tmp_path):
    model = Trainer(settings(tmp_path, decoder="tiny"), Silent()).model
    given, trunk = samseg.load_model("tiny"), efficientnet_lite0.load().state_dict()
    assert all(v.equal(trunk[k]) for k, v in model.image_encoder.trunk.state_dict().items())
    wanted = given.mask_decoder.state_dict()
    assert all(v.equal(wanted[k]) for k, v in model.mask_decoder.state_dict().items())


def test_a_timed_run_ends_within_its_minutes(tmp_path):
    shape = {"window": 128, "pictures": 2, "clicks": 2, "steps": 10_000}
    stages = [shape | {"minutes": 1 / 60}, shape | {"minutes": 1 / 60}]
    trainer = Trainer(settings(tmp_path, stages=stages, sheet_every=10_000), Silent())
    trainer.run()
    assert trainer._curriculum.stage == 2
    assert 1 <= trainer._step < 2_000  # a slow machine takes longer than a stage for one
    assert trainer._curriculum.learning_rate(9999) == pytest.approx(0.01 * 1e-3)


def test_two_threads_learn_from_the_whole_batch(tmp_path):
    stages = [{"steps": 1, "window": 128, "pictures": 2, "clicks": 2, "freeze_norm": True}]
    weights = {"kind": 0.0}
    given = {"stages": stages, "weights": weights}
    single = Trainer(settings(tmp_path / "single", **given), Silent())
    single.run()
    torch.set_num_threads(2)
    both = Trainer(settings(tmp_path / "both", **given), Silent())
    both.run()
    for one, two in zip(single.model.parameters(), both.model.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=5e-3)


def test_two_threads_are_reproducible(tmp_path):
    """Running statistics too, which threads would otherwise update in any order."""
    torch.set_num_threads(2)
    stages = [{"steps": 1, "window": 128, "pictures": 2, "clicks": 2}]
    given = {"stages": stages, "start": "tiny-1"}  # whose BatchNorm learns
    runs = [Trainer(settings(tmp_path / name, **given), Silent()) for name in "ab"]
    for run in runs:
        run.run()
    one, other = (run.model.state_dict() for run in runs)
    assert all(value.equal(other[name]) for name, value in one.items())
    untrained = Trainer(settings(tmp_path / "c", **given), Silent()).model.state_dict()
    name = next(name for name in one if "running_mean" in name)
    assert not one[name].equal(untrained[name])


def test_another_run_in_the_same_folder_is_refused(tmp_path):
    pretrain(settings(tmp_path), Silent())
    with pytest.raises(ConfigError, match="learning_rate"):
        Trainer(settings(tmp_path, learning_rate=0.5), Silent())


def test_it_starts_from_weights(tmp_path):
    trainer = Trainer(settings(tmp_path, start="tiny"), Silent())
    wanted = samseg.load_model("tiny").state_dict()
    assert all(v.equal(wanted[k]) for k, v in trainer.model.state_dict().items())


def test_photos_and_scenes_together(tmp_path, labelled_folder):
    photos = [{"folder": str(labelled_folder), "share": 1.0}]
    scenes = {"kinds": 20, "pasted": 1.0, "photographic": 0.0}
    trained = pretrain(settings(tmp_path / "run", photos=photos, scenes=scenes), Silent())
    assert trained.steps == 4


class KilledInSecondRun(KilledAt):
    runs = 0

    def start(self, stage, total, unit):
        self.runs += 1

    def update(self, done, detail=""):
        if self.runs == 2:
            super().update(done, detail)


def test_a_run_that_follows_starts_from_the_weights_before_it(tmp_path, monkeypatch):
    """Killed in either run and resumed, the result is that of two separate runs."""
    monkeypatch.setattr("samseg.lab.pretraining.trainer._PROGRESS_EVERY_S", -1)  # each step
    changes = {"seed": 3, "weights": {"chosen": 0.7}, "learning_rate": 0.0005}
    first = pretrain(settings(tmp_path / "first", weights={"iou": 3.0}), Silent())
    whole = {"weights": {"iou": 3.0, "chosen": 0.7}, "start": first.weights}
    second = pretrain(settings(tmp_path / "second", **(changes | whole)), Silent())

    both = settings(tmp_path / "both", weights={"iou": 3.0}, then=[changes])
    for kill in (KilledAt(3), KilledInSecondRun(3)):
        with pytest.raises(Killed):
            pretrain(both, kill)
    trained = pretrain(both, Silent())
    assert trained.sha256 == second.sha256
    assert trained.weights == str(tmp_path / "both" / "weights.safetensors")
    assert (tmp_path / "both" / "run-1" / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"output": "elsewhere"}, "cannot change output"),
        ({"weights": {"choosen": 1}}, "weights.choosen"),
        ({"learning_rate": -1}, "learning_rate"),
    ],
)
def test_changes_of_a_run_that_follows_are_checked_at_the_start(tmp_path, changes, words):
    with pytest.raises(ValidationError, match=words):
        settings(tmp_path, then=[changes])


def test_nothing_to_train_on(tmp_path):
    with pytest.raises(ConfigError, match="nothing to train on"):
        Trainer(settings(tmp_path, scenes={"share": 0}), Silent())


def test_recommended_settings_are_checked(tmp_path):
    with pytest.raises(ValueError, match="pred_iou_thresh"):
        settings(tmp_path, recommended={"pred_iou_thresh": 7})
