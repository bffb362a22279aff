"""`samseg segment` from the command line, with the shipped model on a generated scene."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from samseg import cli

FAST = "masks.points_per_side=6"
CLASSES = ["--classes", FAST, "cluster.fit.min_samples=2"]


def words(value):
    return " ".join(value) if isinstance(value, list) else ""


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """Write a photo, 90 x 120 px, of three discs and a square on a gradient."""
    y, x = np.mgrid[:90, :120]
    pixels = np.stack([70 + 0 * x, 90 + x // 3, 60 + y // 2], axis=-1).astype(np.uint8)
    for cx, cy in ((20, 20), (60, 24), (22, 66)):
        pixels[(x - cx) ** 2 + (y - cy) ** 2 < 13**2] = (220, 60, 50)
    pixels[44:84, 66:106] = (240, 235, 120)
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.fixture
def run(capsys, photo):
    """Return a function that runs the command on the photo: code, last line, standard error."""

    def ran(*arguments, photo=photo):
        with pytest.raises(SystemExit) as ended:
            cli.main(["segment", photo, *map(str, arguments)])
        out, err = capsys.readouterr()
        return ended.value.code, json.loads(out.splitlines()[-1]), err

    return ran


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_automatic_masks_as_json_are_those_of_sam(run, tmp_path):
    code, last, err = run(FAST, "-o", tmp_path / "m.json")
    stored = json.loads((tmp_path / "m.json").read_text())
    assert code == last["exit"] == 0
    assert last["size"] == stored["size"] == [90, 120]
    assert len(stored["masks"]) == last["masks"] > 3
    assert f"{last['masks']} masks\n" in err
    for one in stored["masks"]:
        assert coco.area(one["segmentation"]) == one["area"]
        assert {"bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"} < set(one)


def test_a_point_has_three_masks_with_scores_and_feeds_the_next_prompt(run, tmp_path):
    code, last, err = run("--point", "60,24", "-o", tmp_path / "m.npz")
    assert (code, last["masks"], len(last["predicted_iou"])) == (0, 3, 3)
    assert "mask 3: score " in err
    with np.load(tmp_path / "m.npz") as stored:
        assert stored["masks"].shape == (3, 90, 120)
        assert stored["logits"].shape == (3, 256, 256)
        best = stored["masks"][stored["predicted_iou"].argmax()]
    code, last, _ = run("--mask", tmp_path / "m.npz", "--point", "60,24", "-o", tmp_path / "n.npz")
    assert (code, last["masks"]) == (0, 1)
    with np.load(tmp_path / "n.npz") as stored:
        assert iou(stored["masks"][0], best) > 0.5


def test_a_box_segments_the_object_in_it(run, photo, tmp_path):
    code, last, _ = run("--box", "62,40,110,88", "-o", tmp_path / "m.npz")
    assert (code, last["masks"]) == (0, 1)
    with Image.open(photo) as drawn:
        square = (np.array(drawn) == (240, 235, 120)).all(axis=2)
    with np.load(tmp_path / "m.npz") as stored:
        assert iou(stored["masks"][0], square) > 0.7


def test_classes_are_stored_with_their_map(run, tmp_path):
    code, last, err = run(*CLASSES, "-o", tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as stored:
        ids, shown = stored["class_ids"], stored["semantic_map"]
        assert stored["embeddings"].shape == (last["masks"], 256)
    assert code == 0 and len(ids) == last["masks"]
    assert last["classes"] == np.bincount(ids[ids >= 0]).tolist() != []
    assert last["classes"] == sorted(last["classes"], reverse=True)
    assert shown.shape == (90, 120) and set(np.unique(shown)) <= {-1, *ids.tolist()}
    assert f"class 0: {last['classes'][0]}" in err


@pytest.mark.parametrize(
    ("arguments", "panels"),
    [
        ([FAST], 1),
        (CLASSES, 3),
        ([*CLASSES, "--figure", "overlay"], 1),
        (["--point", "60,24"], 3),
        (["--point", "60,24", "--label", "1", "--point", "90,60", "--label", "0"], 1),
        (["--box", "62,40,110,88", "--figure", "triptych"], 3),
    ],
    ids=words,
)
def test_figures_are_png(run, tmp_path, arguments, panels):
    path = tmp_path / "m.png"
    code, last, _ = run(*arguments, "-o", path)
    assert (code, last["output"]) == (0, str(path))
    with Image.open(path) as drawn:
        width, height = drawn.size
    assert panels * 120 <= width < (panels + 1) * 120 and height >= 90


def test_without_masks_the_recommended_thresholds_are_named(run, tmp_path):
    path = tmp_path / "m.png"
    code, last, err = run(FAST, "masks.pred_iou_thresh=0.99", "-o", path)
    assert (code, last["exit"], last["masks"]) == (1, 1, 0)
    assert "masks.pred_iou_thresh=0.99 (recommended for tiny: 0.3)" in err
    assert "output" not in last and not path.exists()
    code, _, _ = run(FAST, "masks.pred_iou_thresh=0.99", "-o", tmp_path / "m.json")
    assert code == 1 and json.loads((tmp_path / "m.json").read_text())["masks"] == []


def test_without_classes_the_exit_code_is_1(run):
    code, last, err = run("--classes", FAST, "cluster.fit.min_samples=999")
    assert (code, last["classes"]) == (1, [])
    assert "no classes" in err and "cluster.fit.min_samples" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--box", "500,500,600,600"], 2, "is outside the photo, which is 120 px wide"),
        (["--box", "20,20,10,30"], 2, "--box 20,20,10,30 is empty"),
        (["--point", "1,2", "--label", "1", "--label", "0"], 2, "got 2 --label for 1 --point"),
        (["--mask", "none.png"], 2, "cannot read the image none.png"),
        (["-o", "m.jpg"], 2, "-o m.jpg has the suffix '.jpg', wanted .png"),
        (["-o", "none/m.png"], 2, "create none first"),
        (["--figure", "overlay"], 2, "--figure overlay needs -o FILE.png, got no -o"),
        (["--figure", "overlay", "-o", "m.npz"], 2, "got -o m.npz"),
        (["--figure", "scores", "-o", "m.png"], 2, "shows the masks of a prompt"),
        (["--classes", "--box", "1,2,3,4"], 2, "leave out --classes"),
        (["masks.point_per_side=3"], 2, "did you mean 'points_per_side'?"),
        (["model.checkpoint=vit_hh"], 3, "did you mean 'vit_h'?"),
    ],
    ids=words,
)
def test_mistakes_are_one_message(run, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    got, last, err = run(*arguments)
    assert (got, last["exit"]) == (code, code)
    assert message in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.jpg", "No such file"), ("text.jpg", "not an image"), ("", "Is a directory")],
)
def test_an_unreadable_photo_is_named(run, tmp_path, name, message):
    (tmp_path / "text.jpg").write_text("text")
    code, _, err = run(photo=str(tmp_path / name))
    assert code == 3 and f"cannot read the image {tmp_path / name}" in err and message in err
