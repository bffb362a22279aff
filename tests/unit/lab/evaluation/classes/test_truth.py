import json

import numpy as np
import pytest
from PIL import Image

from samseg.errors import ConfigError
from samseg.lab.evaluation.classes.truth import (
    LabelledTruth,
    TrueSegments,
    common_categories,
    encoded,
)
from samseg.lab.labelled import LabelledSet
from samseg.masks.painting import dense

SIZE = (10, 20)


def segments(*columns, categories=None):
    rles = []
    for x0, x1 in columns:
        mask = np.zeros(SIZE, np.bool_)
        mask[:, x0:x1] = True
        rles.append(encoded(mask))
    return TrueSegments.of(SIZE, rles, categories or ["a"] * len(columns))


def labelled_set(folder, name, classes):
    (folder / "images").mkdir(parents=True)
    (folder / "instances").mkdir()
    map_ = np.zeros(SIZE, np.uint8)
    map_[:, :5], map_[:, 5:8], map_[:, 8:9] = 1, 2, 3
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(folder / "images" / "p.png")
    Image.fromarray(map_).save(folder / "instances" / "p.png")
    found = [{"id": 1, "category": 1}, {"id": 2, "category": 2}]  # 3 has none
    (folder / "instances.json").write_text(json.dumps({"p": found}))
    (folder / "meta.json").write_text(json.dumps({"name": name, "classes": classes}))
    return LabelledTruth(LabelledSet(folder))


def test_segments_without_a_category_are_left_out(tmp_path):
    truth = labelled_set(tmp_path, "any", {"1": "heels"})
    found = truth.read("p")
    assert (found.categories, found.areas.tolist()) == (("heels", "2"), [50, 30])
    assert dense(found.rles[1])[0].nonzero()[0].tolist() == [5, 6, 7]
    assert truth.merged == ()


def test_synonyms_of_a_set_are_merged(tmp_path):
    truth = labelled_set(tmp_path, "ccp", {"1": "heels", "2": "skirt"})
    assert truth.read("p").categories == ("shoes", "skirt")
    assert any("heels" in group for group in truth.merged)


def test_no_category_is_in_two_groups(tmp_path):
    merged = labelled_set(tmp_path, "ccp", {}).merged
    names = [name for group in merged for name in group]
    assert len(names) == len(set(names)) > 0


def test_the_largest_segments_in_their_order():
    found = segments((0, 2), (2, 8), (8, 9), (9, 13), (13, 13))
    assert len(found) == 4  # the last one has no pixels
    assert found.largest(2, 0).tolist() == [1, 3]
    assert found.largest(4, 0.1).tolist() == [1, 3]  # 10 % is not over 10 %
    assert found.largest(4, 0.05).tolist() == [0, 1, 3]


def test_common_categories():
    photos = [
        segments((0, 4), (4, 6), (6, 7), categories=["b", "a", "c"]),
        segments((0, 4), (4, 6), (6, 7), categories=["b", "a", "c"]),
    ]
    assert common_categories("s", photos, 12, 0, 2) == ("a", "b", "c")
    assert common_categories("s", photos, 2, 0, 2) == ("a", "b")
    with pytest.raises(ConfigError, match=r"s: .* 3 segments .* a \(2 segments\), b \(2"):
        common_categories("s", photos, 12, 0, 3)
    with pytest.raises(ConfigError, match="no segment with a category"):
        common_categories("s", [segments()], 12, 0, 1)
