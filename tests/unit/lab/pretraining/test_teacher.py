"""Distillation: a random teacher labels a lake, and a small model learns from its output."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from samseg.errors import ConfigError
from samseg.lab.pretraining.checkpoint import export
from samseg.lab.pretraining.run import pretrain
from samseg.lab.pretraining.settings import Pretraining, Teacher
from samseg.lab.pretraining.teacher import TeacherPhotos, teach
from samseg.progress import Silent
from samseg.sam.segmenter import Segmenter
from samseg.sam.tiny.build import build_tiny
from samseg.sam.weights.load import load_model

LOOSE = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "points_per_side": 3}


class Notes(Silent):
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def random_teacher(tmp_path_factory):
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("teacher") / "random.safetensors"
    export(build_tiny(), path, {})
    return str(path)


@pytest.fixture
def lake(tmp_path):
    folder = tmp_path / "lake"
    folder.mkdir()
    for i in range(2):
        pixels = np.full((300, 400, 3), 60 + 40 * i, np.uint8)
        cv2.circle(pixels, (150 + 60 * i, 150), 60, (230, 180, 40), -1)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 not a photo")
    return str(folder)


def teacher(lake, checkpoint, **changes):
    given = {
        "reader": {"kind": "folder", "uri": lake},
        "model": {"checkpoint": checkpoint, "device": "cpu"},
        "masks": LOOSE,
    }
    return Teacher.model_validate(given | changes)


@pytest.mark.parametrize(
    ("wanted", "of", "chosen"), [(2, 5, [2, 4]), (3, 5, [1, 3, 4]), (9, 5, None)]
)
def test_images_are_spread_over_the_whole_lake(tmp_path, random_teacher, wanted, of, chosen):
    """Two of five are not the first two or three: a lake sorted by date is seen to its end."""
    folder = tmp_path / "lake"
    folder.mkdir()
    for i in range(of):
        Image.fromarray(np.full((32, 32, 3), 40 * i, np.uint8)).save(folder / f"{i}.png")
    labels = tmp_path / "labels"
    teach(teacher(str(folder), random_teacher, images=wanted), labels, Notes())
    shades = sorted(int(np.load(file)["pixels"][0, 0, 0]) // 40 for file in labels.glob("*.npz"))
    assert shades == (list(range(of)) if chosen is None else chosen)


def test_files_hold_the_teachers_masks_and_features(tmp_path, lake, random_teacher):
    notes = Notes()
    folder = tmp_path / "labels"
    teach(teacher(lake, random_teacher), folder, notes)
    files = sorted(folder.glob("*.npz"))
    assert len(files) == 2
    assert any("broken.jpg" in line for line in notes.lines)
    pixels = np.asarray(Image.open(f"{lake}/0.png"))
    of_this = [f for f in files if abs(int(np.load(f)["pixels"][0, 0, 0]) - 60) < 3]
    with np.load(of_this[0]) as found:
        assert found["pixels"].shape == (384, 512, 3)
        model = load_model(random_teacher)
        masks, features = Segmenter(model, teacher(lake, random_teacher).masks, "cpu").segment(
            pixels
        )
        np.testing.assert_allclose(found["features"], features, rtol=1e-2, atol=1e-2)
        low = np.unpackbits(found["masks"], axis=2, count=512)
        assert len(low) == len(masks)
        for small, full in zip(low, masks.to_dense(), strict=True):
            assert abs(small.mean() - full.mean()) < 0.02
            assert (small[:192].mean() > small[192:].mean()) == (
                full[:150].mean() > full[150:].mean()
            ) or abs(full[:150].mean() - full[150:].mean()) < 0.02


def test_labelled_images_are_skipped(tmp_path, lake, random_teacher):
    folder = tmp_path / "labels"
    teach(teacher(lake, random_teacher), folder, Silent())
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    teach(teacher(lake, random_teacher), folder, Silent())
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == before


def test_a_lake_without_a_usable_image(tmp_path, random_teacher):
    (tmp_path / "a.jpg").write_bytes(b"no")
    with pytest.raises(ConfigError, match="no image"):
        teach(teacher(str(tmp_path), random_teacher), tmp_path / "labels", Silent())


def test_windows_are_aligned_with_the_patches(tmp_path):
    rng = np.random.default_rng(0)
    patches = np.arange(48 * 64, dtype=np.float32).reshape(48, 64) / 64
    pixels = np.repeat(np.repeat(patches, 8, 0), 8, 1).astype(np.uint8)
    features = np.zeros((256, 64, 64), np.float16)
    features[:, :48] = np.floor(patches)
    masks = np.packbits(np.ones((1, 384, 512), bool), axis=2)
    np.savez(
        tmp_path / "a.npz",
        pixels=np.repeat(pixels[..., None], 3, 2),
        masks=masks,
        features=features,
    )
    photos = TeacherPhotos(tmp_path)
    for _ in range(10):
        image = photos.draw(rng, 128)
        assert image.features.shape == (256, 16, 16)
        assert np.array_equal(image.pixels[::8, ::8, 0], image.features[0].astype(np.uint8))
        assert image.regions[0].mask.all()
    padded = photos.draw(rng, 512)
    assert padded.features.shape == (256, 64, 64)
    assert padded.regions[0].mask.sum() == 384 * 512


def test_a_student_approaches_its_teacher(tmp_path, lake, random_teacher):
    def run(output, steps):
        return Pretraining.model_validate(
            {
                "output": str(tmp_path / output),
                "scenes": {"share": 0.2, "kinds": 10, "photographic": 0.0, "pasted": 0.0},
                "teacher": teacher(lake, random_teacher).model_dump(mode="json"),
                "stages": [{"steps": steps, "window": 128, "pictures": 2, "clicks": 2}],
                "weights": {"features": 2.0},
                "learning_rate": 0.003,
                "warmup": 1,
                "ema": 0.5,
                "loaders": 0,
                "device": "cpu",
            }
        )

    from samseg.lab.pretraining.losses import feature_loss

    def distance(weights):
        image = TeacherPhotos(tmp_path / "long" / "teacher").draw(np.random.default_rng(3), 256)
        model = load_model(weights)
        pixels = torch.from_numpy(image.pixels.transpose(2, 0, 1).copy())[None]
        with torch.inference_mode():
            x = (pixels - model.pixel_mean) / model.pixel_std
            features = model.image_encoder.encode_halved(x)
        return float(feature_loss(features, torch.from_numpy(image.features.copy())[None]))

    long = pretrain(run("long", 25), Silent())
    short = pretrain(run("short", 1), Silent())
    assert distance(long.weights) < 0.8 * distance(short.weights)
