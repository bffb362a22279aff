import pytest


@pytest.fixture(autouse=True)
def _everywhere(one_thread):
    """Run every test on one thread."""
