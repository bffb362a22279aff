"""Files as people and tools leave them: what is refused, and how it is named."""

import pytest

from samseg.corrections.json_text import JsonText
from samseg.errors import ConfigError

from .conftest import ORIGIN

TASK = {"data": {"image_id": "i", "samseg": ORIGIN}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "is no text in UTF-8"),
        ("", "is neither a JSON object nor an array"),
        ("17", "is neither a JSON object nor an array"),
        ('{"info": {}', "is not valid JSON: line 1"),
        ('{"info": {},}', "is not another element"),
        ('{"info": 1 "x": 2}', "is not `,` or `}`"),
        ('{"a": [1, 2', "is not `,` or `]`"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"a": 1} x', "is not the end of the file"),
        ('{"a": 1, "a": 2}', "has the key 'a' twice"),
        ('{"a": 1' + "0" * 5000 + "}", "is not valid JSON"),
        ("{}", "is no COCO file: it has no 'info'"),
        ("[]", "does not say of which output folder"),
        ("[1]", "is no JSON export of Label Studio of tasks by samseg"),
        ([TASK | {"annotations": [{}]}], "`annotations` without a list `result`"),
        ([TASK, {"data": {"image_id": "j", "samseg": 0}}], "has tasks of several exports"),
        ([TASK | {"annotations": [{"result": []}]}] * 2, "two annotated tasks of the image i"),
    ],
)
def test_what_is_no_export_is_named(read, content, message):
    with pytest.raises(ConfigError, match=r"corrected\.json") as refused:
        read(content)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"info": {}}, "does not say of which output folder"),
        ({"info": {"samseg": ORIGIN | {"edit": "x"}}}, "does not say of which output folder"),
        ({"categories": [{"id": 1}]}, "category 1 has no name"),
        ({"categories": [{"id": 1, "name": " "}]}, "category 1 has no name"),
        ({"categories": [{"id": "1", "name": "x"}]}, "a category has no whole number as 'id'"),
        ({"categories": [{"id": 1, "name": "x"}] * 2}, "two categories with one id"),
        ({"images": [{"id": 1}]}, "image 1 has neither `image_id` nor `file_name`"),
        ({"images": [{"id": 1, "image_id": "i"}] * 2}, "two images with the id 1"),
        (
            {"images": [{"id": n, "image_id": "i"} for n in (1, 2)]},
            "has one image twice",
        ),
        ({"images": []}, "annotations of the image 1, which is not among its images"),
        ({"annotations": [7]}, "an annotation has no whole number as 'image_id'"),
        ({"annotations": [{"id": 3}]}, "an annotation has no whole number as 'image_id'"),
        ({"annotations": [{"id": 3, "image_id": 1}] * 2}, "two annotations with the id 3"),
    ],
)
def test_mistakes_in_coco_files_are_named(read, coco_file, parts, message):
    with pytest.raises(ConfigError) as refused:
        read(coco_file({}, **parts))
    assert message in str(refused.value)


def test_an_annotation_of_an_unknown_category(read, coco_file):
    with pytest.raises(ConfigError, match="annotation 0 has category 9, which is not among"):
        read(coco_file({"category_id": 9})).image("i")


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ({"value": 1}, "has no `value`"),
        ({"value": {"brushlabels": []}}, "has the labels [], wanted one"),
        ({"value": {"brushlabels": ["a", "b"]}}, "has the labels ['a', 'b'], wanted one"),
        ({"value": {"brushlabels": [" "]}}, "wanted one"),
    ],
)
def test_mistakes_in_tasks_are_named(read, region, message):
    region = {"id": "i-0000", "type": "brushlabels"} | region
    with pytest.raises(ConfigError) as refused:
        read([TASK | {"annotations": [{"result": [region]}]}])
    assert message in str(refused.value)


def test_elements_are_found_again_where_they_were():
    text = JsonText("f", ' {"a": [1, {"b": [2]}], "c": {"d": 3}, "e": []} ')
    walked = list(text.walk())
    assert [(key, value) for key, _, value in walked] == [
        ("a", 1),
        ("a", {"b": [2]}),
        ("c", {"d": 3}),
    ]
    assert [text.at(place) for _, place, _ in walked] == [1, {"b": [2]}, {"d": 3}]
    assert text.keys == {"a", "c", "e"} and not text.is_array


def test_the_newest_annotation_of_a_task_counts(read):
    def annotation(label, time):
        region = {"id": "i-0000", "type": "brushlabels", "value": {"brushlabels": [label]}}
        return {"result": [region], "updated_at": time}

    made = [annotation("new", "2026-02-01"), annotation("old", "2026-01-01")]
    file = read([TASK | {"annotations": made}])
    (mask,) = file.image("i").masks
    assert (mask.mask_id, mask.category) == ("i-0000", "new")
    assert [category.name for category in file.categories] == ["new"]


@pytest.mark.parametrize(
    ("name", "mask"),
    [("i-0003", "i-0003"), ("i-0003-2", "i-0003"), ("i-0003#a9", "i-0003"), ("x", None)],
)
def test_regions_keep_the_id_of_their_mask(read, name, mask):
    region = {"id": name, "type": "polygonlabels", "value": {"polygonlabels": ["a"]}}
    (found,) = read([TASK | {"annotations": [{"result": [region]}]}]).image("i").masks
    assert found.mask_id == mask
