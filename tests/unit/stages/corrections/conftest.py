"""A labelled folder whose exports are corrected."""

import json
import shutil
from pathlib import Path

import pytest

from samseg.output import Output

from ...doctor.conftest import labelled


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos, each with two masks of the classes 0, 1 and 2, which have no names."""
    folder = tmp_path_factory.mktemp("made")
    labelled(folder)
    return folder


@pytest.fixture
def output(made: Path, tmp_path: Path) -> Output:
    shutil.copytree(made / "lake", tmp_path / "lake")
    shutil.copytree(made / "output", tmp_path / "output")
    (tmp_path / "output" / "lake.json").write_text(json.dumps({"uri": f"file://{tmp_path}/lake"}))
    return Output(str(tmp_path / "output"))
