"""Exporters: the tables as the files that other tools read.

A new one is a new file with a `Spec` that has a `kind` and the verb `write`
(`samseg.exporters.types.Format`), and one line in the union here. The contract test then covers it.
"""

from typing import Annotated

from pydantic import Field

from samseg.exporters.coco import Coco
from samseg.exporters.png import Png

Exporter = Annotated[Coco | Png, Field(discriminator="kind")]
"""Every exporter, told apart by `kind`."""

__all__ = ["Coco", "Exporter", "Png"]
