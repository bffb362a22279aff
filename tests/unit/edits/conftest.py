"""Edits, written in short."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from samseg.edits.edit import Action, Edit
from samseg.edits.replay import ClassState, replay

Replayed = Callable[[Sequence[Action]], ClassState]


def numbered(actions: Sequence[Action]) -> list[Edit]:
    return [
        Edit(number, f"2026-01-{number:02d}T00:00:00+00:00", "ann", "", action)
        for number, action in enumerate(actions, start=1)
    ]


@pytest.fixture
def edits_of() -> Callable[[Sequence[Action]], list[Edit]]:
    return numbered


@pytest.fixture
def replayed() -> Replayed:
    """Return a function that replays actions in order."""

    def run(actions: Sequence[Action]) -> Any:
        return replay(numbered(actions))

    return run
