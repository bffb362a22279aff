import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from samseg.errors import ConfigError
from samseg.strict_yaml import read_yaml

TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(TREES)
def test_what_is_written_is_read(tree):
    assert read_yaml(yaml.safe_dump(tree), "x") == tree


@given(st.dictionaries(st.text(), TREES, min_size=1), st.data())
def test_a_key_given_twice_is_an_error_at_any_depth(section, data):
    key = data.draw(st.sampled_from(sorted(section)))
    again = yaml.safe_dump(section) + yaml.safe_dump({key: 1})
    nested = "a:\n- b:\n" + "".join(f"    {line}\n" for line in again.split("\n"))
    for text in (again, nested):
        with pytest.raises(ConfigError, match=r"(?s)x is not valid YAML: .*is given twice"):
            read_yaml(text, "x")


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 1",
        "{a: 1, 'a': 2}",
        "? [1]\n: 1\n? [1]\n: 2",
        "a: [",
        "2024-13-45",
        "&a [*a]",
        "&a {b: *a}",
        "[" * 5000,
        "{a: " * 5000,
        "a\0b",
        "--- 1\n--- 2",
        "!!python/object/apply:os.getcwd []",
        "{[1]: 2}",
        "{{a: 1}: 2}",
        "0b_",
    ],
    ids=lambda text: text[:20],
)
def test_what_cannot_be_read_is_a_mistake_with_its_source(text):
    with pytest.raises(ConfigError, match=r"night\.yaml is not valid YAML: "):
        read_yaml(text, "night.yaml")


def test_a_merged_section_may_be_overridden():
    text = "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  x: 3\nc: {<<: *a}"
    found = read_yaml(text, "x")
    assert found["b"] == {"x": 3, "y": 2} and found["c"] == found["a"]


@pytest.mark.parametrize("text", ["{}/Roll #3", "{}/Roll #3  # my film", "{}/Roll #3 # a # b"])
@pytest.mark.parametrize("existing", [["Roll #3"], ["Roll", "Roll #3"]], ids=str)
def test_a_path_that_a_comment_cuts_is_refused(tmp_path, text, existing):
    for name in existing:
        (tmp_path / name).mkdir()
    config = f"output: labels  # where\nreader:\n  uri: {text.format(tmp_path)}\n"
    with pytest.raises(ConfigError, match=r"Roll #3 exists.*with quotes(.|\n)*line 3"):
        read_yaml(config, "night.yaml")


@pytest.mark.parametrize(
    ("line", "warned"),
    [
        ("uri: s3://lake/Roll #3", True),
        ("output: Roll #3-labels", True),
        ("uri: s3://lake  # all of it", False),
        ("uri: s3://lake # all of it", False),
        ("uri: s3://lake  #all of it", False),
        ("uri: s3://lake/Roll#3", False),
        ("uri: 's3://lake/Roll #3'", False),
        ("kind: folder #loose", False),
        ("uri: s3://lake", False),
    ],
)
def test_a_uri_that_a_comment_may_cut_is_named(caplog, line, warned):
    read_yaml(f"# a config\n{line}\n", "night.yaml")
    assert [r.getMessage()[:20] for r in caplog.records] == ["night.yaml, line 2: "] * warned
