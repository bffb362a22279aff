"""What an export was made of: files that people correct say it, so that they can be read back."""

from typing import Any

from samseg.spec import Spec

KEY = "samseg"
"""Where files have it: in `info` of COCO files, in `data` of tasks of Label Studio."""


class ExportOrigin(Spec):
    """The state of the classes that an export shows, and its settings.

    Attributes:
        folder: a hash that the output folder has, and copies of it.
        codebook: version of the codebook.
        edit: number of the last edit of the classes, 0 if there was none.
        kind: of the exporter.
        settings: of the exporter, without the defaults.
    """

    folder: str
    codebook: int
    edit: int
    kind: str
    settings: dict[str, Any]
