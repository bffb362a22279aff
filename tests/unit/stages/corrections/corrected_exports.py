"""Exports of a folder, and what people do to them in other tools."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco
from pycocotools.coco import COCO

from samseg.corrections.reading import read_corrected
from samseg.engine import Local
from samseg.exporters import Coco
from samseg.output import Output
from samseg.stages.corrections.importing import CorrectionImport, Imported
from samseg.stages.export import export_all

Json = dict[str, Any]


def exported(output: Output, exporter: Any = None) -> Any:
    """Return the whole lake's file, as another tool reads it."""
    (written,) = export_all(output, [exporter or Coco()])
    folder = Path(written.uri.removeprefix("file://"))
    names = {"coco": "instances", "coco_panoptic": "panoptic", "label_studio": "tasks"}
    return json.loads((folder / f"{names[written.kind]}-00000.json").read_text())


def with_pycocotools(data: Json) -> COCO:
    """Return the file as pycocotools has it."""
    loaded = COCO()
    loaded.dataset = data
    with contextlib.redirect_stdout(io.StringIO()):
        loaded.createIndex()
    return loaded


def saved(output: Output, data: Any) -> CorrectionImport:
    """Write a corrected file, and compare it with its export."""
    path = Path(output.uri.removeprefix("file://")).parent / "corrected.json"
    path.write_text(json.dumps(data))
    return CorrectionImport(output, read_corrected(path))


def imported(output: Output, data: Any) -> Imported:
    return saved(output, data).run("ann", Local())


def categories(data: Json) -> dict[str, str]:
    """Return the name of the category of each mask."""
    names = {c["id"]: c["name"] for c in data["categories"]}
    return {a["mask_id"]: names[a["category_id"]] for a in data["annotations"]}


def square(x: int) -> Json:
    pixels = np.zeros((48, 48), np.uint8, order="F")
    pixels[10:20, x : x + 7] = 1
    rle = coco.encode(pixels)
    return {"size": [48, 48], "counts": rle["counts"].decode()}


def by_class(data: Json) -> dict[int, list[Json]]:
    """Return the annotations of each class."""
    found: dict[int, list[Json]] = {}
    for annotation in data["annotations"]:
        found.setdefault(annotation["category_id"] - 1, []).append(annotation)
    return found


def corrected(data: Json) -> dict[str, Any]:
    """Rename, move, delete and outline with pycocotools; return which masks were which."""
    loaded = with_pycocotools(data)
    first, second, third = (loaded.loadAnns(loaded.getAnnIds(catIds=[c])) for c in (1, 2, 3))
    loaded.cats[1]["name"] = "hazel nut"
    moved, deleted, outlined = first[:3], second[:2], second[2]
    for annotation in moved:
        annotation["category_id"] = 3
    outlined["segmentation"] = square(5)
    gone = {annotation["id"] for annotation in deleted}
    data["annotations"] = [a for a in data["annotations"] if a["id"] not in gone]
    return {
        "moved": {a["mask_id"] for a in moved},
        "deleted": {a["mask_id"] for a in deleted},
        "outlined": outlined["mask_id"],
        "others": {a["mask_id"] for a in [*first[3:], *second[2:], *third]},
    }


def accepted(tasks: list[Json]) -> list[Json]:
    """Return the tasks as Label Studio exports them once a person has submitted each."""
    for number, task in enumerate(tasks):
        (prediction,) = task["predictions"]
        task |= {"id": number, "predictions": [number]}
        task["annotations"] = [
            {
                "id": number,
                "completed_by": 1,
                "result": prediction["result"],
                "was_cancelled": False,
                "parent_prediction": number,
                "updated_at": "2026-01-01T00:00:00Z",
            }
        ]
    return tasks


def exported_with_name(output: Output, class_id: int, name: str) -> Json:
    data = exported(output)
    data["categories"][class_id]["name"] = name
    return data
