"""COCO files: every form of segmentation gives the same pixels, and mistakes are named."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from samseg.errors import ConfigError
from samseg.lab.evaluation.classes.coco_truth import CocoTruth
from samseg.masks.painting import dense

SIZE = (10, 20)


def square():
    mask = np.zeros(SIZE, np.uint8)
    mask[2:6, 3:9] = 1
    return mask


def compressed():
    rle = coco.encode(np.asfortranarray(square()))
    return {"size": list(SIZE), "counts": rle["counts"].decode()}


def uncompressed():
    flat = square().ravel(order="F").tolist()
    counts, value = [0], 0
    for pixel in flat:
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"size": list(SIZE), "counts": counts}


FORMS = {
    "polygons": [[3, 2, 9, 2, 9, 4, 3, 4], [3, 4, 9, 4, 9, 6, 3, 6]],
    "compressed": compressed(),
    "uncompressed": uncompressed(),
}


def write(folder, annotations, **more):
    path = folder / "labels.json"
    image = {"id": 5, "file_name": "a/p.jpg", "height": SIZE[0], "width": SIZE[1]}
    content = {"images": [image], "categories": [{"id": 7, "name": "cup"}]}
    path.write_text(json.dumps(content | {"annotations": annotations} | more))
    return path


@pytest.mark.parametrize("form", FORMS)
def test_instances(tmp_path, form):
    instance = {"image_id": 5, "category_id": 7, "segmentation": FORMS[form]}
    crowd = instance | {"iscrowd": 1}
    truth = CocoTruth(write(tmp_path, [instance, crowd]))
    found = truth.read("a/p.jpg")
    assert (truth.photos, truth.name) == (["a/p.jpg"], "labels")
    assert found.categories == ("cup",) and found.size == SIZE
    np.testing.assert_array_equal(dense(found.rles[0]), square().astype(bool))


def test_panoptic(tmp_path):
    number = 3 + 256 * 2 + 65536
    rgb = np.zeros((*SIZE, 3), np.uint8)
    rgb[square() > 0] = (3, 2, 1)
    (tmp_path / "labels").mkdir()
    Image.fromarray(rgb).save(tmp_path / "labels" / "p.png")
    segments = [{"id": number, "category_id": 7}, {"id": 99, "category_id": 7}]
    annotation = {"image_id": 5, "file_name": "p.png", "segments_info": segments}
    found = CocoTruth(write(tmp_path, [annotation])).read("a/p.jpg")
    assert found.areas.tolist() == [24]
    np.testing.assert_array_equal(dense(found.rles[0]), square().astype(bool))


def test_an_image_without_annotations_has_no_segments(tmp_path):
    assert len(CocoTruth(write(tmp_path, [])).read("a/p.jpg")) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [("[", "is not a COCO"), ("[]", "is not a COCO"), ('{"images": []}', "'categories'")],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        CocoTruth(path)
    with pytest.raises(ConfigError, match="cannot read the labels"):
        CocoTruth(tmp_path / "none.json")


INSTANCE = {"image_id": 5, "category_id": 7, "segmentation": FORMS["compressed"]}


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (INSTANCE | {"category_id": 8}, "a/p.jpg are invalid .KeyError: 8"),
        (INSTANCE | {"segmentation": {"size": [9, 9], "counts": "0"}}, r"\[9, 9\] px"),
        ({"image_id": 5, "file_name": "x.png", "segments_info": []}, "panoptic map .*x.png"),
    ],
    ids=["category", "size", "panoptic map"],
)
def test_invalid_annotations_are_named(tmp_path, annotation, message):
    with pytest.raises(ConfigError, match=message):
        CocoTruth(write(tmp_path, [annotation])).read("a/p.jpg")
