"""Exporters: they write the tables in file formats that other tools read.

To add an exporter, add a file with a `Selection` that has a `kind` and the method `write`
(`samseg.exporters.types.Format`), and add the class to the union here. The contract test then
covers it.
"""

from typing import Annotated

from pydantic import Field

from samseg.exporters.coco import Coco
from samseg.exporters.coco_panoptic import CocoPanoptic
from samseg.exporters.hugging_face import HuggingFace
from samseg.exporters.label_studio import LabelStudio
from samseg.exporters.png import Png
from samseg.exporters.semantic_png import SemanticPng
from samseg.exporters.yolo import Yolo

Exporter = Annotated[
    Coco | CocoPanoptic | HuggingFace | LabelStudio | Png | SemanticPng | Yolo,
    Field(discriminator="kind"),
]
"""Every exporter, discriminated by `kind`."""

__all__ = [
    "Coco",
    "CocoPanoptic",
    "Exporter",
    "HuggingFace",
    "LabelStudio",
    "Png",
    "SemanticPng",
    "Yolo",
]
