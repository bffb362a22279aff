"""The settings of an output folder, as far as an object of another photo needs them."""

from typing import Any

import yaml

from samseg import config as configs
from samseg.config import Config
from samseg.errors import redact
from samseg.output import Output
from samseg.resume import resumed

_OF_MODEL = ("checkpoint", "arch", "sha256")
"""Settings that say which model; the device is that of this machine."""


def settings_of(output: Output) -> Config:
    """Return the settings of a folder: those of its recipes, and the model of its last night.

    Raises:
        RecipeError: a recipe was written by a later version of samseg.
        StorageError: a recipe or the record of the night is damaged.
    """
    lake = {"kind": "folder", "uri": output.uri}  # a config needs one; none is read
    tree = {"output": output.uri, "reader": lake, "model": _model(output)}
    return resumed(configs.parse(tree, source=redact(output.uri)), output)


def _model(output: Output) -> dict[str, Any]:
    """Return the model of the last night that has a record; the default model if none has."""
    for stamp in reversed(output.nights()):
        key = output.night_key(stamp, "config.yaml")
        if output.storage.exists(key):
            payload = output.storage.get(key)
            with output.decoding(key):
                model = yaml.safe_load(payload.decode())["model"]
                return {k: model[k] for k in _OF_MODEL if model.get(k) is not None}
    return {}
