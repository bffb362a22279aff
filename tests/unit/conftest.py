"""A labelled lake that tests of several packages copy."""

from pathlib import Path

import pytest

from .doctor.conftest import labelled


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake and the output of a night: twelve photos, each with two masks of the classes 0 to 2.

    Copy it before changing it.
    """
    folder = tmp_path_factory.mktemp("whole")
    labelled(folder)
    return folder
