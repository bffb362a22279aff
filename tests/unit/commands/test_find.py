"""The command `samseg find`."""

import json

import pytest

from samseg.cli import main
from samseg.clustering import DBSCAN
from samseg.clustering.settings import ClusterSettings
from samseg.stages.cluster.stage import cluster

HOSTILE = "nut\x1b[2J"


@pytest.fixture
def made(small_output):
    """A folder with a codebook, whose photos cannot be fetched."""
    found = small_output(codebook=False)
    cluster(
        found.output, ClusterSettings(fit=DBSCAN(eps=0.3, min_samples=3)), recipe_fingerprint=""
    )
    return found


@pytest.fixture
def run(made, capsys, tmp_path, monkeypatch):
    """Return a function that runs the command: exit code, result, what was said."""
    monkeypatch.chdir(tmp_path)

    def find(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["find", made.output.uri.removeprefix("file://"), *arguments])
        printed = capsys.readouterr()
        return ended.value.code, json.loads(printed.out.splitlines()[-1]), printed.err

    return find


def test_masks_are_found_kept_and_refined(made, run, tmp_path):
    first, second, third, *_ = sorted(m for m, c in made.class_of.items() if c == 0)
    code, found, said = run("--mask", first, "-k", "3")
    assert code == 0 and len(found["masks"]) == 3 and found["class"] is None
    assert found["masks"][0]["mask_id"] in said and "--mask" in said.splitlines()[-1]
    page = tmp_path / "samseg-find.html"
    assert found["page"] == str(page) and f"Page: {page}" in said
    assert page.read_text().count("not available") == 1 + 3  # the page says so, and is written
    code, kept, said = run("--mask", first, "--name", HOSTILE, "--page", "other.html")
    assert code == 0 and kept["class"]["edit"] == 1 and (tmp_path / "other.html").exists()
    assert "\x1b" not in said and r"nut\x1b[2J" in said
    code, refined, said = run("--name", HOSTILE, "--accept", second, "--reject", third)
    assert code == 0 and refined["class"]["class_id"] == kept["class"]["class_id"]
    assert refined["accepted"] == [first, second] and refined["rejected"] == [third]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "there is no example"),
        (("--box", "1,2,3,4"), "in a PHOTO; give one"),
        (("photo.jpg",), "where is the object in photo.jpg?"),
        (("photo.jpg", "--point", "1,1"), "cannot read the image photo.jpg"),
        (("--mask", "nothing"), "has no mask 'nothing'"),
        (("--mask", "x", "-k", "501"), "wanted 1 to 500 masks"),
    ],
    ids=["nothing", "no-photo", "no-prompt", "unreadable", "no-mask", "too-many"],
)
def test_mistakes_end_with_2_and_write_nothing(run, tmp_path, arguments, message):
    code, record, said = run(*arguments)
    assert message in said and record["exit"] == code
    assert code == (3 if "cannot read" in message else 2)
    assert not (tmp_path / "samseg-find.html").exists()
