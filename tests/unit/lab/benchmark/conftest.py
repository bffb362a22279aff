import pytest


@pytest.fixture(autouse=True)
def _everywhere(one_thread):
    """Measure on one thread."""
