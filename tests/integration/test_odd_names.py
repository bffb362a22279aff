"""Lakes and output folders whose names have characters that URLs, globs or SQL interpret."""

import json

import duckdb
import pytest

import samseg
from samseg import cli
from samseg.config import parse
from samseg.storage import open_output
from tests.chaos.night import run
from tests.chaos.stub import photo

ODD = "a#b ?c=d&e%20f+g [1] 'h' {i,j} ü*"
KEYS = ("#1.png", "a?b=c&d.png", "100%25 %.png", "[1] 'q'.png", "x+y ü/{a,b}*.png", "plain.png")


def told(capsys, *arguments):
    """Run a command; return its exit code and its last line."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    out, _ = capsys.readouterr()
    return ended.value.code, json.loads(out.splitlines()[-1])


def written(lake):
    storage = open_output(lake)
    for number, key in enumerate(KEYS):
        storage.put_new(key, photo(number))
    storage.put_new("broken.png", b"no image")


def tree(lake, output):
    return {
        "output": output,
        "reader": {"kind": "folder", "uri": lake, "images_per_shard": 3},
        "embeddings": [],
        "exports": [{"kind": "coco"}, {"kind": "png"}],
        "engine": {"kind": "local", "threads": 1},
    }


def require_whole(capsys, tmp_path, lake, output):
    """Label the lake, and check all that reads the folder."""
    written(lake)
    config = parse(tree(lake, output))
    assert run(config, stub={}) == 1  # one is broken
    assert run(config, stub={}) == 0  # nothing new
    (tmp_path / "config.yaml").write_text(json.dumps(tree(lake, output)))
    code, status = told(capsys, "status", output)
    assert (code, status["images"], status["statuses"]) == (1, 7, {"ok": 6, "undecodable": 1})
    assert told(capsys, "doctor", output)[0] == 0
    assert told(capsys, "plan", "-c", tmp_path / "config.yaml")[1]["counts"]["plan"]["known"] == 7
    described = "embeddings=[efficientnet_lite0]"
    assert told(capsys, "describe", "-c", tmp_path / "config.yaml", described)[0] == 0
    assert told(capsys, "cluster", "-c", tmp_path / "config.yaml", "--refit", described)[0] == 0
    assert told(capsys, "export", "-c", tmp_path / "config.yaml", "--all", described)[0] == 0
    code, report = told(capsys, "report", "-c", tmp_path / "config.yaml", described)
    with samseg.storage.open_uri(report["page"]) as page:
        text = page.read().decode()
    assert text.count("data:image") >= 6 and "no object at" not in text
    again = ("--retry-failed", "undecodable", described)
    assert told(capsys, "plan", "-c", tmp_path / "config.yaml", *again)[1]["counts"]["plan"][
        "again"
    ]
    assert run(config.model_copy(update={"embeddings": ()}), stub={}) == 1
    assert told(capsys, "status", output)[1]["images"] == 7
    sql = "select key, count(*) as masks from labels group by key order by key"
    opened = samseg.open(output)
    assert [row["key"] for row in opened.query(sql).to_pylist()] == sorted(KEYS)
    for row in opened.query("select image_id, key, status from images").to_pylist():
        if row["status"] == "ok":
            assert opened.image(row["image_id"]).shape == (32, 32, 3)
    code, rows = told(capsys, "query", sql, "-o", output, "--json")
    assert code == 0 and rows["key"] == max(KEYS)


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_a_night_of_odd_names(request, capsys, tmp_path, kind):
    if kind == "s3":
        request.getfixturevalue("s3")
    base = "s3://lake/odd" if kind == "s3" else str(tmp_path)
    require_whole(capsys, tmp_path, f"{base}/{ODD}/lake", f"{base}/{ODD}/labels")
    if kind == "local":
        views = (tmp_path / ODD / "labels" / "views.sql").read_text()
        with duckdb.connect() as connection:
            connection.execute(views)
            found = connection.execute("select distinct key from labels order by key").fetchall()
        assert [key for (key,) in found] == sorted(KEYS)


def profile(endpoint, folder):
    """Return the environment of a named profile."""
    (folder / "config").write_text(
        f"[profile lake]\nendpoint_url = {endpoint}\nregion = us-east-1\n"
    )
    (folder / "credentials").write_text(
        "[lake]\naws_access_key_id = key\naws_secret_access_key = secret\n"
    )
    return {
        "AWS_PROFILE": "lake",
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "AWS_REGION": "",
    }


SPELLINGS = {
    "AWS_ENDPOINT_URL_S3": ("s3", lambda url, _: {"AWS_ENDPOINT_URL_S3": url}),
    "slash": ("s3", lambda url, _: {"AWS_ENDPOINT_URL_S3": f"{url}/"}),
    "AWS_ENDPOINT": ("s3", lambda url, _: {"AWS_ENDPOINT": url, "AWS_ALLOW_HTTP": "true"}),
    "s3a": ("s3a", lambda url, _: {"AWS_ENDPOINT_URL": url}),
    "S3": ("S3", lambda url, _: {"AWS_ENDPOINT_URL": url}),
    "AWS_PROFILE": ("s3", profile),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_an_s3_store_works_in_every_stage(
    s3, capsys, monkeypatch, tmp_path, spelling
):
    scheme, environment = SPELLINGS[spelling]
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    for name, value in environment(s3, tmp_path).items():
        monkeypatch.setenv(name, value)
    base = f"{scheme}://lake/spelt {spelling}"
    require_whole(capsys, tmp_path, f"{base}/lake", f"{base}/labels")


def test_an_endpoint_without_scheme_is_refused(s3, capsys, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.removeprefix("http://"))
    for arguments in (("status", "s3://lake/x"), ("query", "select 1", "-o", "s3://lake/x")):
        code, last = told(capsys, *arguments)
        assert code == 2 and "has no scheme; write http://127" in last["message"]
