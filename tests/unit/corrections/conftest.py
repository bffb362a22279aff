"""Files that people corrected, written in short."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from samseg.corrections.corrected_file import CorrectedFile
from samseg.corrections.reading import read_corrected

ORIGIN = {"folder": "f", "codebook": 1, "edit": 0, "kind": "coco", "settings": {}}


@pytest.fixture
def read(tmp_path) -> Callable[[Any], CorrectedFile]:
    """Return a function that reads text, or values as JSON."""

    def file(content: Any) -> CorrectedFile:
        path = tmp_path / "corrected.json"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return read_corrected(path)

    return file


@pytest.fixture
def coco_file() -> Callable[..., dict[str, Any]]:
    """Return a function that makes a COCO file of one image, 40 x 50 px."""

    def made(*annotations: dict[str, Any], **parts: Any) -> dict[str, Any]:
        image = {"id": 1, "image_id": "i", "width": 50, "height": 40}
        return {
            "info": {"samseg": ORIGIN},
            "images": [image],
            "categories": [{"id": 1, "name": "nut", "class_id": 0}],
            "annotations": [
                {"id": n, "image_id": 1, "category_id": 1, "mask_id": f"i-{n:04d}", **given}
                for n, given in enumerate(annotations)
            ],
        } | parts

    return made
