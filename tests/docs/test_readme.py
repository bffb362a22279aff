"""The README is held true: its files exist, its snippets run, its SQL needs DuckDB alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from samseg.config import Config, load_as
from samseg.lab.pretraining.settings import Pretraining
from samseg.views_sql import views_sql

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([\w./-]+)\)", README))))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()


def drawn_tree():
    """Return the paths that the README's tree draws, folders with a trailing slash."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    (tree,) = (text for language, text in fenced if not language and "\nsamseg/\n" in text)
    parents, found = [], set()
    for line in tree.splitlines():
        branch, name = re.match(r"((?:\|   |    )*(?:\|-- |`-- )?)(\S+)", line).groups()
        depth = len(branch) // 4
        parents[depth:] = [name]
        found.add("".join(parents))
    return found


def test_the_tree_is_the_one_on_disk():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    files = [Path(name) for name in listed if (ROOT / name).exists()]
    modules = [path for path in files if path.parts[0] == "samseg" and path.suffix == ".py"]
    packages = {f"{parent}/" for path in modules for parent in path.parents if parent.parts}
    single = {str(p) for p in modules if len(p.parts) == 2 and p.name != "__init__.py"}
    folders = {f"{p.parts[0]}/" for p in files if len(p.parts) > 1 and p.parts[0][0] != "."}
    assert drawn_tree() == packages | single | folders


def test_the_python_snippet_runs():
    (snippet,) = blocks("python")
    ran = subprocess.run(
        [sys.executable, "-c", snippet], capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    masks, boxes, dense, embeddings = re.match(
        r"(\d+) (\(\d+, 4\)) (\(\d+, 400, 600\)) (\(\d+, 256\))", ran.stdout
    ).groups()
    assert int(masks) > 3
    assert boxes.startswith(f"({masks},") and dense.startswith(f"({masks},")
    assert embeddings == f"({masks}, 256)"


def test_the_sql_runs_in_duckdb_alone(small_output):
    import duckdb

    made = small_output()
    connection = duckdb.connect()
    connection.execute(views_sql(made.output.uri))
    (sql,) = blocks("sql")
    statements = [s for s in sql.split(";") if s.strip()]
    per_class, nearest = (connection.execute(s).fetchall() for s in statements)
    assert {c: masks for c, _, masks in per_class} == {
        c: list(made.class_of.values()).count(c) for c in set(made.class_of.values())
    }
    assert len(nearest) == 10
    distances = [row[1] for row in nearest]
    assert distances == sorted(distances)
    assert made.class_of[nearest[0][0]] == made.class_of[min(made.class_of)]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_config_is_valid_and_every_value_says_why(path):
    load_as(Pretraining if path.name.startswith("pretrain") else Config, path)
    assert path.name in README
    bare = [
        line
        for line in path.read_text().splitlines()
        if re.search(r":\s+\S", line) and "#" not in line
    ]
    assert bare == []
