"""The README is held true: its files exist, its snippets run, its SQL needs DuckDB alone."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image

from samseg import cli
from samseg.commands.start import config_for
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


def python(snippet):
    """Run a snippet of the README in a process of its own; return what it prints."""
    ran = subprocess.run(
        [sys.executable, "-c", snippet], capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_snippet_of_automatic_masks_runs():
    (snippet,) = (block for block in blocks("python") if ".segment(" in block)
    masks, boxes, dense, embeddings = re.match(
        r"(\d+) (\(\d+, 4\)) (\(\d+, 400, 600\)) (\(\d+, 256\))", python(snippet)
    ).groups()
    assert int(masks) > 3
    assert boxes.startswith(f"({masks},") and dense.startswith(f"({masks},")
    assert embeddings == f"({masks}, 256)"


def test_the_snippet_of_prompts_runs():
    (snippet,) = (block for block in blocks("python") if ".prompt(" in block)
    assert re.fullmatch(r"\d+ \[.*\d+.*,.*\d+.*,.*\d+.*\]\n", python(snippet))


@pytest.mark.slow
def test_the_commands_for_one_picture_run(tmp_path, monkeypatch, capsys):
    from skimage.data import coins

    monkeypatch.chdir(tmp_path)
    Image.fromarray(coins()).save("photo.jpg")
    block = README.split("## One picture")[1].split("```bash\n")[1].split("```")[0]
    commands = [shlex.split(line, comments=True) for line in block.splitlines()]
    for command in commands:
        assert command[0] == "samseg"
        with pytest.raises(SystemExit) as ended:
            cli.main(command[1:])
        assert ended.value.code == 0, capsys.readouterr().err
    written = [command[command.index("-o") + 1] for command in commands]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["photo.jpg", *written])


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


def commands():
    """Return the `samseg` commands of the README's shell blocks, as arguments."""
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    commands = [shlex.split(line.partition("samseg ")[2], comments=True) for line in lines]
    return [arguments for arguments in commands if arguments]


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_commands_are_valid(arguments):
    group = typer.main.get_command(cli.app)
    with group.make_context("samseg", arguments[:1]) as context:
        name, command, rest = group.resolve_command(context, arguments)
        while hasattr(command, "resolve_command"):  # `samseg eval masks`, `samseg classes OUT list`
            context = command.make_context(name, list(rest), parent=context)
            rest = [*context._protected_args, *context.args]
            name, command, rest = command.resolve_command(context, rest)
        given = command.make_context(name, list(rest), parent=context).params
    if "lake" in given:
        config_for(given["lake"], None, given["overrides"] or ())
    elif str(given.get("config", "")).startswith("configs/"):
        model = Pretraining if name == "pretrain" else Config
        load_as(model, ROOT / given["config"], given["overrides"] or ())


def test_the_readme_begins_with_an_installation():
    install, label, *_ = blocks("bash")[0].splitlines()
    assert install == "pip install samseg" and label.startswith("samseg label ")
