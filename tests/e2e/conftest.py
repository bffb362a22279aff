"""The Ray that nights share: starting one takes longer than most nights of a few pictures."""

from collections.abc import Iterator

import pytest

from tests.ray_head import Head, ray_head


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """One head of two CPUs for the session."""
    with ray_head(tmp_path_factory.mktemp("head")) as head:
        yield head
