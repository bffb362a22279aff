"""One example, found in the whole lake, and kept as a class."""

import re

import pytest

import samseg
from samseg import schema
from samseg.edits.edit import ExampleMask
from samseg.edits.evidence import Evidence
from samseg.edits.log import read_log
from samseg.errors import ConfigError, ImageError, RecipeError
from samseg.finding.page import write_page
from samseg.stages.find.space import SearchSpace

HOSTILE = "<script>alert(1)</script>\x1b[2J"


def of_class(made, class_id):
    return sorted(mask for mask, c in made.class_of.items() if c == class_id)


def vectors(made):
    """Return the transformed vector of every mask, by the newest codebook."""
    from samseg.stages.cluster.codebook_store import load_codebook

    found = {}
    for shard in made.shards:
        part = made.output.read(made.output.masks_key(shard), ["mask_id", "embedding"])
        points, _ = load_codebook(made.output).transform.apply(schema.matrix_of(part["embedding"]))
        found |= dict(zip(part["mask_id"].to_pylist(), points.astype(float), strict=True))
    return found


def test_the_nearest_masks_are_those_of_the_transform_and_without_the_example(scenes):
    made = scenes()
    example, *others = of_class(made, 0)
    found = samseg.find(made.output, accept=[example], k=len(others))
    table = found.to_arrow()
    points = vectors(made)
    for row in table.to_pylist():
        wanted = 1 - points[row["mask_id"]] @ points[example]
        assert row["distance"] == pytest.approx(wanted, abs=1e-6)
    assert table["distance"].to_pylist() == sorted(table["distance"].to_pylist())
    assert example not in table["mask_id"].to_pylist()
    assert {*table["mask_id"].to_pylist()} <= {*others}
    assert set(table["key"].to_pylist()) <= {*made.keys} and found.kept is None
    assert read_log(made.output) == []


def test_without_classes_raw_vectors_are_compared(scenes):
    made = scenes(codebook=False)
    example = of_class(made, 1)[0]
    found = samseg.find(made.output, accept=[example], k=3)
    assert {made.class_of[m.mask_id] for m in found.masks} == {1}
    assert found.to_arrow()["class_id"].to_pylist() == [None] * 3 and found.codebook is None
    with pytest.raises(ConfigError, match="has no classes yet, so none can be kept"):
        samseg.find(made.output, accept=[example], name="nut")


def test_a_name_keeps_a_class_and_the_same_name_refines_it(scenes):
    made = scenes()
    first, second, third, *_ = of_class(made, 2)
    other = of_class(made, 0)[0]
    one = samseg.find(made.output, accept=[first], name="bars", author="ann").kept
    assert one.edit == 1 and one.masks >= 1
    two = samseg.find(made.output, accept=[second], reject=[other], name="bars").kept
    assert (two.class_id, two.edit) == (one.class_id, 2)
    found = samseg.find(made.output, name="Bars")
    assert found.kept.edit is None and found.kept.class_id == one.class_id
    assert [m.mask_id for m in found.accepted] == [first, second]
    assert [m.mask_id for m in found.rejected] == [other]
    sql = "select mask_id from labels where name = 'bars'"
    members = {row["mask_id"] for row in samseg.open(made.output).query(sql).to_pylist()}
    assert len(members) == found.kept.masks and {first, second} <= members and other not in members
    assert third in members


def test_masks_of_images_labelled_again_or_forgotten_are_left_out(scenes, monkeypatch):
    made = scenes(codebook=False)
    example, *_ = of_class(made, 0)
    images = {mask[:20] for mask in made.class_of} - {example[:20]}
    erased, replaced = sorted(images)[:2]
    shard = next(s for s in made.shards if replaced in _images(made, s))
    monkeypatch.setattr(
        "samseg.stages.find.search.superseded", lambda *_: {shard: frozenset({replaced})}
    )
    made.output.storage.put_new(made.output.forgotten_key(erased), b"{}")
    found = samseg.find(made.output, accept=[example], k=40)
    assert {m.image_id for m in found.masks} == {*images, example[:20]} - {erased, replaced}


def _images(made, shard):
    column = made.output.read(made.output.images_key(shard), ["image_id"])["image_id"]
    return column.to_pylist()


def test_the_page_shows_photos_escapes_names_and_makes_no_requests(scenes, tmp_path):
    made = scenes()
    example = of_class(made, 1)[0]
    found = samseg.find(made.output, accept=[example], name=HOSTILE, k=5)
    write_page(found, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "<script>alert" not in html and "\x1b" not in html and "&lt;script&gt;" in html
    assert html.count("data:image/webp") == 1 + len(found)
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", html)
    assert all(mask.mask_id in html for mask in found.masks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "there is no example; give a PHOTO"),
        ({"box": (1, 2, 3, 4)}, "--box and --point say where an object is in a PHOTO"),
        ({"photo": "a.jpg"}, "where is the object in a.jpg"),
        ({"photo": "a.jpg", "box": (3, 2, 1, 4)}, "--box 3,2,1,4 is empty"),
        ({"accept": ["f" * 20 + "-0000"]}, "has no mask 'f+-0000', nor its image"),
        ({"name": "nut"}, "no class 'nut' yet, and no example"),
        ({"name": "class 0"}, "class 0 is not a class by example"),
        ({"reject": ["MASK"]}, "there is no example"),
        ({"accept": ["x"], "k": 0}, "got k=0, wanted 1 to 500"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "nothing",
)
def test_what_cannot_be_searched_is_refused(scenes, options, message):
    made = scenes()
    with pytest.raises(ConfigError, match=message):
        samseg.find(made.output, **options)
    assert read_log(made.output) == []


def test_a_photo_that_cannot_be_read_or_a_prompt_outside_it_is_named(scenes, tmp_path):
    made = scenes(codebook=False)
    with pytest.raises(ImageError, match=r"cannot read the image .*gone\.jpg"):
        samseg.find(made.output, str(tmp_path / "gone.jpg"), points=[(1, 1)])
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(next(iter(made.photos.values())))
    with pytest.raises(ConfigError, match="--point 500,20 is outside the photo, which is 128 px"):
        samseg.find(made.output, str(photo), points=[(500, 20)])
    with pytest.raises(RecipeError, match="another recipe"):
        samseg.find(made.output, str(photo), box=(2, 2, 90, 90))


def test_an_example_without_a_direction_is_refused(scenes):
    made = scenes(codebook=False)
    none, some = (
        Evidence(0, (ExampleMask(vector=vector),), ()) for vector in ((0.0,) * 256, (3.0, 4.0))
    )
    space = SearchSpace.of(made.output)
    with pytest.raises(ConfigError, match="has no direction in the embedding 'sam'"):
        space.direction(none)
    assert space.direction(some) == pytest.approx([0.6, 0.8])
