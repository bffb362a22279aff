"""The export that a file says it comes from."""

from typing import Any

from pydantic import ValidationError

from samseg.errors import ConfigError
from samseg.exporters.origin import KEY, ExportOrigin


def origin_in(value: Any, file: str) -> ExportOrigin:
    """Return what a file says of its export.

    Raises:
        ConfigError: nothing, or nothing that can be read.
    """
    try:
        return ExportOrigin.model_validate(value)
    except ValidationError as e:
        raise ConfigError(
            f"{file} does not say of which output folder, codebook and edit it was exported "
            f"(the key {KEY!r}, in `info` of COCO files and in `data` of tasks of Label Studio): a "
            "tool has removed it, it is from an earlier version of samseg, or it is no export of "
            "samseg. Export again with `samseg export`, and correct that file"
        ) from e
