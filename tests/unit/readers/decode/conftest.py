"""Measures that tests of decoding share."""

import tracemalloc

import pytest


@pytest.fixture
def peak_bytes():
    """Return the most bytes that Python and NumPy held since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
