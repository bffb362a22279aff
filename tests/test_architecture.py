"""The shape of the code base: the top level is fixed, imports stay light, files stay small."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOP_LEVEL = {
    "pyproject.toml",
    "jobs",
    "samseg",
    "configs",
    "tests",
    "README.md",
    "infra",
    "LICENSE",
}
MODULES = sorted(p for p in (ROOT / "samseg").rglob("*.py"))


def test_top_level_is_fixed():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    found = {name.split("/")[0] for name in tracked if name}
    assert {name for name in found if not name.startswith(".")} <= TOP_LEVEL


@pytest.mark.parametrize(
    "statement", ["import samseg", "import samseg.config", "import samseg.cli"]
)
def test_imports_load_neither_torch_nor_ray(statement):
    heavy = {"torch", "ray", "sklearn", "cv2"}
    code = f"{statement}; import sys; print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_check_of_a_gpu_needs_neither_ray_nor_object_stores():
    """It runs where only PyTorch and its kin are installed."""
    modules = "samseg.lab.benchmark.gpu.check, samseg.lab.benchmark.gpu.table"
    lab = "samseg.lab.evaluation.masks.measure, samseg.lab.pretraining.objective"
    code = f"import {modules}, {lab}, sys; print({{'ray', 'duckdb', 'obstore'}} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_the_driver_of_a_night_loads_no_torch():
    code = "import samseg.nightly, sys; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_small_and_say_what_they_are_for(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300, "two nouns in one room?"
    assert ast.get_docstring(ast.parse(text)), "a module begins with what it is for"


def test_every_class_name_stands_for_one_thing():
    places = defaultdict(set)
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].add(str(path.relative_to(ROOT)))
    assert {name: sorted(found) for name, found in places.items() if len(found) > 1} == {}


def test_blanket_excepts_only_where_one_failure_must_not_end_the_rest():
    found = [
        str(path.relative_to(ROOT))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in {"Exception", "BaseException"})
    ]
    assert set(found) == {
        "samseg/engine/failure.py",
        "samseg/cli.py",
        "samseg/lab/benchmark/gpu/check.py",
    }
