"""The command on a generated set: true segments, automatic masks, and an output folder."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from samseg import cli
from samseg.clustering.settings import ClusterSettings
from samseg.errors import ImageError
from samseg.lab.evaluation.classes import automatic, output_masks
from samseg.lab.evaluation.classes.record import ClassEvaluation
from samseg.output import Output
from samseg.recipe import fingerprint
from samseg.stages.cluster.stage import cluster

ROWS = ["seed recipe", "colour and box", "sam", "efficientnet_lite0"]
FEW = ("--min-segments", "4", "--draws", "2", "--resamples", "5")


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["eval", "classes", *map(str, arguments)])
    return ended.value.code


@pytest.fixture
def few_points(monkeypatch):
    monkeypatch.setattr(automatic, "POINTS_PER_SIDE", 3)


@pytest.fixture(scope="module")
def work(tmp_path_factory, drawn):
    """A folder of automatic masks with classes."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(automatic, "POINTS_PER_SIDE", 3)
        assert run(drawn.folder, "--no-oracle", "--work", folder, *FEW) == 0
    output = Output(str(folder / drawn.folder.name))
    cluster(output, ClusterSettings(), recipe_fingerprint=fingerprint(output.recipe()))
    return folder


def coco_file(drawn, path, *more):
    content = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
    for number, stem in enumerate(drawn.labelled.stems):
        photo = drawn.labelled.read(stem)
        h, w = photo.instances.shape
        content["images"].append(
            {"id": number, "file_name": f"{stem}.jpg", "height": h, "width": w}
        )
        for segment, category in photo.categories.items():
            rle = coco.encode(np.asfortranarray(photo.mask(segment).astype(np.uint8)))
            rle["counts"] = rle["counts"].decode()
            content["annotations"].append(
                {"image_id": number, "category_id": category, "segmentation": rle}
            )
    content["images"] += more
    path.write_text(json.dumps(content))
    return path


def test_true_segments(capsys, drawn, tmp_path):
    file, picture = tmp_path / "scores.json", tmp_path / "picture.png"
    assert run(drawn.folder, *FEW, "--json", file, "--picture", picture) == 0
    out, err = capsys.readouterr()
    (scores,) = ClassEvaluation.model_validate_json(file.read_text()).sets
    assert (scores.masks, scores.photos, scores.evaluated) == ("true segments", 2, 12)
    assert (scores.rare, scores.unmatched, scores.categories) == (0, 0, ("1", "2"))
    assert scores.ceiling == pytest.approx(1)
    assert [row.name for row in scores.rows] == ROWS
    for row in scores.rows:
        low_high = row.intervals["ami"]
        assert low_high.low <= row.free.ami <= low_high.high
    lite0 = scores.rows[3]
    assert lite0.true_k.ami == pytest.approx(1)  # red and blue discs
    assert lite0.neighbours == 1
    last = json.loads(out.splitlines()[-1])
    assert last["ami"]["discs"] == {row.name: row.free.ami for row in scores.rows}
    assert "discs, true segments: 12 masks of 2 photos, 2 categories" in err
    with Image.open(picture) as drawn_picture:
        assert drawn_picture.width > 600 and drawn_picture.height > 250


def test_further_embeddings_and_fits(capsys, drawn):
    further = "{kind: sam, name: sam_again, pooling: {kind: mask_mean}}"
    options = ("--embedding", further, "--fit", "{kind: kmeans, classes: 1}", "--markdown")
    assert run(drawn.folder, *FEW, *options) == 0
    out, _ = capsys.readouterr()
    names, _, classes = (line.split(" | ")[1:] for line in out.splitlines()[2:5])
    assert [name.strip(" |") for name in names] == [*ROWS, "sam_again"]
    assert [found.strip(" |") for found in classes[1:]] == ["1"] * 4


@pytest.mark.parametrize("options", [(), ("--markdown",)])
def test_names_of_sets_are_plain_text(capsys, drawn, tmp_path, options):
    (tmp_path / "[b]\x1b[2J").symlink_to(drawn.folder)
    assert run(tmp_path / "[b]\x1b[2J", *FEW, *options) == 0
    printed = "".join(capsys.readouterr())
    assert "\x1b" not in printed and r"[b]\x1b[2J" in printed


def test_automatic_masks_are_made_once(capsys, drawn, work, few_points, monkeypatch):
    monkeypatch.setattr("samseg.sam.segmenter.Segmenter.segment", lambda *a: 1 / 0)
    assert run(drawn.folder, "--no-oracle", "--work", work, *FEW, "--markdown") == 0
    out, _ = capsys.readouterr()
    assert "discs, automatic masks:" in out and "covers more than half of it" in out
    assert out.splitlines()[2].count("|") == len(ROWS) + 3  # the folder has classes by now


def test_an_output_folder(capsys, drawn, work, tmp_path):
    truth = coco_file(drawn, tmp_path / "truth.json", {"id": 9, "file_name": "gone.jpg"})
    file, picture = tmp_path / "scores.json", tmp_path / "picture.png"
    folder = work / drawn.folder.name
    options = ("--truth", truth, "--json", file, "--picture", picture)
    assert run(folder, *options, *FEW) == 0
    _, err = capsys.readouterr()
    (scores,) = ClassEvaluation.model_validate_json(file.read_text()).sets
    assert scores.missing == ("gone.jpg",) and "1 of 3 photos of truth are left out" in err
    assert "gone.jpg" in err
    assert scores.categories == ("blue", "red")
    assert [row.name for row in scores.rows] == [*ROWS, "codebook v1"]
    assert scores.rows[4].free.ami == pytest.approx(scores.rows[2].free.ami)  # fitted to `sam`
    assert picture.stat().st_size > 10_000
    # the same labels as a set
    assert run(folder, "--truth", drawn.folder, "--json", file, *FEW) == 0
    (again,) = ClassEvaluation.model_validate_json(file.read_text()).sets
    assert [row.free for row in again.rows] == [row.free for row in scores.rows]


def test_without_the_images_there_is_no_baseline(capsys, drawn, work, monkeypatch):
    gone = ImageError("unreadable", "no such file")
    monkeypatch.setattr(output_masks, "fetch", lambda uri: (_ for _ in ()).throw(gone))
    assert run(work / drawn.folder.name, "--truth", drawn.folder, *FEW, "--markdown") == 0
    out, err = capsys.readouterr()
    assert "no baseline of colour and box, because a is unreadable: no such file" in err
    assert out.splitlines()[2] == "|  | seed recipe | sam | efficientnet_lite0 | codebook v1 |"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--truth", "{set}", "--codebook", 9], "has no codebook v9"),
        (["--truth", "{set}", "--embedding", "sam"], "--embedding is for labelled sets"),
        (["{set}", "--truth", "{set}"], "labels of one output folder, got 2"),
        (["--truth", "{set}", "--min-segments", 7], "two categories or more"),
        (["--truth", "{others}"], "none of the 1 photos of others is an image"),
        ([], "is an output folder; give the labels"),
    ],
)
def test_mistakes_with_an_output_folder(capsys, drawn, work, tmp_path, options, message):
    others = tmp_path / "others.json"
    image = {"id": 1, "file_name": "x.jpg", "height": 9, "width": 9}
    others.write_text(json.dumps({"images": [image], "annotations": [], "categories": []}))
    filled = [str(o).format(set=drawn.folder, others=others) for o in options]
    assert run(work / drawn.folder.name, *filled) in (2, 3)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--fit", "linkag", "got 'linkag', wanted one of: linkage"),
        ("--fit", "{kind: linkage, treshold: 1}", "did you mean 'threshold'"),
        ("--embedding", "{kind: [", "is not valid YAML"),
        ("--min-segments", "7", "two categories or more"),
        ("--picture", "classes.txt", "has no suffix of an image format"),
        ("--picture", "no/such/classes.png", "there is no folder no/such"),
    ],
)
def test_mistakes_with_a_set(capsys, drawn, option, value, message):
    assert run(drawn.folder, option, value) == 2
    assert message in capsys.readouterr().err


def test_a_set_without_class_labels_is_refused(capsys, tmp_path):
    for folder, stem in (("images", "a"), ("labels", "a__1"), ("labels", "a__2")):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(np.ones((20, 20), np.uint8)).save(tmp_path / folder / f"{stem}.png")
    assert run(tmp_path) == 2
    assert "found no segment with a category" in capsys.readouterr().err
