"""Reads a corrected file, whatever its format."""

from pathlib import Path

from samseg.corrections.coco import CorrectedCoco
from samseg.corrections.corrected_file import CorrectedFile
from samseg.corrections.json_text import read_json_text
from samseg.corrections.label_studio import CorrectedTasks


def read_corrected(path: Path) -> CorrectedFile:
    """Read a corrected COCO file, or what Label Studio exports as JSON.

    Raises:
        ConfigError: it is neither, cannot be read, or says not what was exported.
    """
    text = read_json_text(path)
    return CorrectedTasks(text) if text.is_array else CorrectedCoco(text)
