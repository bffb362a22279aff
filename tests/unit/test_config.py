import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from samseg.config import Config, load, parse, recipe_of
from samseg.errors import ConfigError
from samseg.recipe import fingerprint
from samseg.redaction import holds_credentials
from samseg.sam.settings import MaskSettings

SMALL = {"output": "out", "reader": {"kind": "folder", "uri": "lake"}}


def mistakes(tree, *overrides):
    with pytest.raises(ConfigError) as caught:
        parse(tree, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def test_a_small_config_is_enough():
    config = parse(SMALL)
    assert config.reader.kind == "folder"
    assert config.model.checkpoint == "tiny"


def test_all_mistakes_are_listed_with_the_closest_key():
    lines = mistakes(
        {
            "output": "out",
            "reader": {"kind": "folder", "url": "lake"},
            "masks": {"point_per_side": 32},
            "pooling": {"kind": "covrage"},
            "modle": {},
        }
    )
    assert lines == [
        "config: 5 mistakes",
        "  reader.uri: missing, and it has no default",
        "  reader.url: unknown key; valid here: kind, uri, images_per_shard, bytes_per_shard, "
        "include, exclude",
        "  masks.point_per_side: unknown key; did you mean 'points_per_side'?",
        "  pooling.kind: got 'covrage', wanted one of: coverage, coverage_squared, mask_mean",
        "  modle: unknown key; did you mean 'model'?",
    ]


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"model": {"device": "gpu"}}, "  model.device: got 'gpu', wanted 'auto', 'cpu' or 'cuda'"),
        (
            {"cluster": {"fit": {"kind": "optics"}}},
            "  cluster.fit.kind: got 'optics', wanted one of: linkage, dbscan, hdbscan, kmeans",
        ),
        (
            {"cluster": {"fit": {"min_size": 3}}},
            "  cluster.fit.kind: missing, and it has no default",
        ),
        ({"exports": ["cocoa"]}, "  exports.0.kind: got 'cocoa', wanted one of: coco, "),
        ({"reader": "photos"}, "  reader.kind: got 'photos', wanted one of: folder, webdataset"),
        ({"cluster": {"fit": {"kind": "dbscan", "epz": 1}}}, "  cluster.fit.epz: unknown key"),
        ({"exports": [{"kind": "coco", "noize": True}]}, "  exports.0.noize: unknown key"),
    ],
    ids=lambda v: str(v)[:30],
)
def test_a_mistake_is_reported_with_its_key(section, line):
    found = mistakes({**SMALL, **section})
    assert found[0] == "config: 1 mistake"
    assert found[1].startswith(line)


def test_a_rule_across_keys_is_explained():
    (_, line) = mistakes({**SMALL, "masks": {"points_per_side": None}})
    assert "exactly one of points_per_side and point_grids" in line


def test_overrides_are_yaml_and_reach_any_depth():
    config = parse(SMALL, ["masks.points_per_side=16", "exports=[{kind: png}]", "output=s3://b/x"])
    assert config.masks.points_per_side == 16
    assert [e.kind for e in config.exports] == ["png"]
    assert config.output == "s3://b/x"
    assert mistakes(SMALL, "masks.points_per_sid=16")[1].endswith("'points_per_side'?")
    assert "section.key=value" in mistakes(SMALL, "masks")[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "not valid YAML"), ("- a", "contains list"), ("", "contains NoneType")],
)
def test_a_file_that_is_not_a_config_is_an_error(tmp_path, text, message):
    path = tmp_path / "night.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_a_missing_file_is_an_error():
    with pytest.raises(ConfigError, match=r"nope\.yaml.*check the path"):
        load("nope.yaml")


def test_the_resolved_config_loads_as_the_same_config(tmp_path):
    config = parse({**SMALL, "exports": [{"kind": "coco"}], "masks": {"points_per_side": 8}})
    path = tmp_path / "resolved.yaml"
    path.write_text(config.to_yaml())
    again = load(path)
    assert again == config
    assert "points_per_batch" in path.read_text()


def recipe(**sections):
    config = Config.model_validate({**SMALL, **sections})
    return recipe_of(config, "0" * 64, config.masks.resolved({}))


def test_a_recipe_contains_exactly_what_determines_an_embedding():
    base = recipe()
    same = [
        {"output": "elsewhere"},
        {"engine": {"kind": "local"}},
        {"exports": [{"kind": "png"}]},
        {"masks": {"points_per_batch": 8}},
        {"model": {"device": "cpu"}},
        {"cluster": {"reference": 5}},
    ]
    assert [fingerprint(recipe(**s)) for s in same] == [fingerprint(base)] * len(same)
    other = [
        {"masks": {"points_per_side": 16}},
        {"pooling": {"kind": "mask_mean"}},
        {"decode": {"max_pixels": 1000}},
    ]
    assert len({fingerprint(recipe(**s)) for s in other} | {fingerprint(base)}) == 4


def test_defaults_of_the_checkpoint_are_part_of_the_recipe():
    config = parse(SMALL)
    mine = recipe_of(config, "0" * 64, MaskSettings().resolved({"pred_iou_thresh": 0.3}))
    assert mine["masks"]["pred_iou_thresh"] == 0.3


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("exports=[coco, {kind: png}]", lambda c: [e.kind for e in c.exports] == ["coco", "png"]),
        ("embeddings=[sam]", lambda c: [e.kind for e in c.embeddings] == ["sam"]),
        ("engine.workers=3", lambda c: (c.engine.kind, c.engine.workers) == ("ray", 3)),
        ("engine=local", lambda c: c.engine.kind == "local"),
        ("cluster.fit=dbscan", lambda c: c.cluster.fit.kind == "dbscan"),
        ("masks.points=adaptive", lambda c: c.masks.points.kind == "adaptive"),
        ("masks.points_per_side=null", lambda c: c.masks.points_per_side is None),
        ("masks.pred_iou_thresh=null", lambda c: "pred_iou_thresh" not in c.masks.model_fields_set),
        ("masks=null", lambda c: c.masks == MaskSettings()),
        ("cluster.granularity=null", lambda c: "granularity" in c.cluster.model_fields_set),
    ],
)
def test_shorthands(override, found):
    masks = {"pred_iou_thresh": 0.5, "points_per_side": 8, "point_grids": [[[0.5, 0.5]]]}
    keep = override == "masks.points_per_side=null"
    tree = SMALL | ({"masks": masks} if keep else {"masks": {"pred_iou_thresh": 0.5}})
    assert found(parse(tree, [override]))


def test_a_required_key_cannot_be_unset():
    assert mistakes(SMALL, "output=null")[1] == "  output: missing, and it has no default"


def test_a_reader_is_a_folder_unless_it_says_otherwise():
    assert parse({"output": "o", "reader": {"uri": "lake"}}).reader.kind == "folder"
    assert parse(SMALL, ["reader.kind=webdataset"]).reader.kind == "webdataset"


def test_a_section_whose_keys_are_all_comments_is_left_out(tmp_path):
    path = tmp_path / "night.yaml"
    path.write_text("output: o\nreader: {uri: lake}\nmasks:\n  # points_per_side: 8\n")
    assert load(path).masks == MaskSettings()


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
@example("/data/Roll #3")
@example("2024")
@example("yes")
@example("[a]: {b} *.jpg")
@example(" '#' ")
@example("a=b")
def test_text_on_the_command_line_is_taken_as_typed(text):
    assume(text != "null" and not holds_credentials(text))
    found = parse(SMALL, [f"reader.uri={text}", f"output={text}", f"model.checkpoint={text}"])
    assert (found.reader.uri, found.output, found.model.checkpoint) == (text,) * 3


@pytest.mark.parametrize(
    "overrides",
    [
        ["masks.points_per_side=8", "masks.points_per_side=8"],
        ["output=a", " output =b"],
        ["cluster.fit.eps=0.1", "cluster.fit=dbscan"],
        ["reader.uri=a", "reader={kind: folder, uri: b}"],
    ],
    ids=str,
)
def test_an_override_that_replaces_an_earlier_one_is_a_mistake(overrides):
    (line,) = mistakes(SMALL, *overrides)
    assert "give each key once, and a section before its keys" in line


def test_keys_may_follow_their_section():
    found = parse(SMALL, ["cluster.fit=dbscan", "cluster.fit.eps=0.1", "cluster.fit.min_samples=3"])
    assert (found.cluster.fit.eps, found.cluster.fit.min_samples) == (0.1, 3)


def test_a_key_given_twice_is_a_mistake_wherever_it_stands(tmp_path):
    path = tmp_path / "night.yaml"
    path.write_text("output: o\nreader: {uri: a}\nmasks: {points_per_side: 8, points_per_side: 9}")
    with pytest.raises(ConfigError, match="'points_per_side' is given twice"):
        load(path)
    assert "is given twice" in mistakes(SMALL, "exports=[{kind: coco, kind: png}]")[0]


@pytest.mark.parametrize(
    "exports", [["coco", "coco"], ["png", {"kind": "coco"}, {"kind": "coco", "split": "train"}]]
)
def test_two_exports_of_one_kind_are_a_mistake(exports):
    assert "two exports are of the kind 'coco'" in mistakes({**SMALL, "exports": exports})[1]


@pytest.mark.parametrize(
    "content",
    [
        "output: olé\nreader: {uri: lake}".encode("latin-1"),
        "output: o\nreader: {uri: lake}".encode("utf-16"),
        b"output: \xed\xb3\xbf\nreader: {uri: lake}",
    ],
)
def test_a_config_in_another_encoding_is_a_mistake(tmp_path, content):
    path = tmp_path / "night.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"is not UTF-8 text.*save it as UTF-8"):
        load(path)


def test_a_byte_order_mark_is_no_part_of_a_config(tmp_path):
    path = tmp_path / "night.yaml"
    path.write_bytes(b"\xef\xbb\xbfoutput: o\nreader: {uri: lake}")
    assert load(path).output == "o"


@pytest.mark.parametrize("key", ["output", "reader.uri", "model.checkpoint"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\0b", "holds a NUL character"),
        ("a\udcff", "valid string"),
        ("s3://AKIA:se/cr'et x@bucket/photos", "holds a user, a password or a signature"),
        ("https://host/a?X-Amz-Signature=secret", "holds a user, a password or a signature"),
    ],
)
def test_text_that_is_no_location_is_a_mistake(key, text, message):
    (_, line) = mistakes(SMALL, f"{key}={text}")
    assert line.startswith(f"  {key}: ") and message in line
    assert "cr'et" not in line and "Signature=" not in line
