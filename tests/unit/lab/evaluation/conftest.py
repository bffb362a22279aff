"""A small labelled set of generated photos, and the shipped model."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samseg.lab.labelled import LabelledPhoto, LabelledSet
from samseg.sam.segmenter import Segmenter, load_segmenter

SIZE = (90, 120)
COLOURS = {1: (200, 40, 40), 2: (40, 60, 200)}
"""Colour of each category."""


@pytest.fixture(scope="session")
def segmenter() -> Segmenter:
    return load_segmenter("tiny", device="cpu", points_per_side=3)


@dataclass(frozen=True)
class Drawn:
    folder: Path
    labelled: LabelledSet
    photo: LabelledPhoto


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Drawn:
    """Two photos of six discs each, of two categories."""
    folder = tmp_path_factory.mktemp("sets") / "discs"
    rng = np.random.default_rng(5)
    (folder / "images").mkdir(parents=True)
    (folder / "instances").mkdir()
    instances: dict[str, list[dict[str, int]]] = {}
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for stem in ("a", "b"):
        pixels = np.full((*SIZE, 3), 150.0) + rng.normal(0, 4, (*SIZE, 3))
        map_ = np.zeros(SIZE, np.uint16)
        instances[stem] = []
        for i in range(6):
            inside = (y - 22 - 45 * (i // 3)) ** 2 + (x - 20 - 40 * (i % 3)) ** 2 < (10 + i) ** 2
            map_[inside] = i + 1
            category = 1 + i % 2
            pixels[inside] = np.array(COLOURS[category]) + rng.normal(0, 4, (inside.sum(), 3))
            instances[stem].append({"id": i + 1, "category": category})
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"images/{stem}.png")
        Image.fromarray(map_).save(folder / f"instances/{stem}.png")
    (folder / "instances.json").write_text(json.dumps(instances))
    labelled = LabelledSet(folder)
    return Drawn(folder, labelled, labelled.read("a"))
