"""The seed notebook: its script draws its pictures, its config suits every checkpoint."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samseg.config import load
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.sam.weights.registry import NAMES, identify

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="module")
def notebook():
    spec = importlib.util.spec_from_file_location("seed_notebook", CONFIGS / "seed_notebook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def photo(tmp_path):
    """Write a photo, 120 x 180 px, of 24 discs of one colour."""
    y, x = np.mgrid[:120, :180]
    pixels = np.full((120, 180, 3), (70, 110, 80), np.uint8)
    pixels[(x % 30 - 15) ** 2 + (y % 30 - 15) ** 2 < 90] = (215, 60, 50)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def test_the_script_draws_the_pictures_of_the_notebook(notebook, photo, tmp_path, capsys):
    folder = tmp_path / "pictures"
    notebook.main([str(photo), "--output", str(folder), "--points-per-side", "12"])
    out = capsys.readouterr().out
    assert "Image: (1024, 1024, 3)\n" in out and "Features: (64, 64, 256)\n" in out
    pictures = {path.stem: read(path) for path in folder.iterdir()}
    assert sorted(pictures) == ["1-input", "2-masks", "3-semantic-map", "4-result"]
    image, masks, semantic, result = (pictures[name] for name in sorted(pictures))
    assert image.shape == masks.shape == semantic.shape == (1024, 1024, 3)
    inside = semantic.any(axis=2)
    assert inside.any()
    gap = (result.shape[1] - 3 * 1024) // 4
    extracted = result[-1024 - gap : -gap, -1024 - gap : -gap]
    assert (extracted == np.where(inside[..., None], image, 0)).all()


def test_the_script_ends_early_without_a_class(notebook, tmp_path):
    Image.fromarray(np.full((60, 60, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    with pytest.raises(SystemExit, match=r"no class|no masks"):
        grey = str(tmp_path / "grey.png")
        notebook.main([grey, "--output", str(tmp_path / "p"), "--points-per-side", "2"])


@pytest.mark.parametrize("checkpoint", NAMES)
def test_the_thresholds_of_the_config_suit_every_checkpoint(checkpoint):
    recommended = identify(ModelSpec(checkpoint=checkpoint)).recommended
    used = load(CONFIGS / "seed_notebook.yaml").masks.resolved(recommended)
    usual = MaskSettings().resolved(recommended)
    assert used.pred_iou_thresh <= usual.pred_iou_thresh
    assert used.stability_score_thresh <= usual.stability_score_thresh
