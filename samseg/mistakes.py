"""Mistakes in settings, explained: the key, what is wrong with it, and what exists.

Also the annotations of a model's fields, as sections of a config.
"""

import difflib
import types
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from samseg.redaction import redact

_CONSEQUENCE = "default_factory_not_called"
"""Pydantic's error for a default that depends on another key, where that one is mistaken."""

_CLOSE = 0.75
"""Similarity from which on a key is taken for a typing error of another."""


def explained(error: ValidationError, model: type[BaseModel], source: str) -> str:
    """Return the message for all mistakes in some settings, a line each.

    Args:
        error: as raised by `model`.
        model: what the settings are.
        source: where they come from, for the first line.
    """
    errors = [e for e in error.errors(include_url=False) if e["type"] != _CONSEQUENCE]
    mistakes = [_explain(dict(e), model) for e in errors]
    count = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "1 mistake"
    return redact("\n  ".join([f"{source}: {count}", *mistakes]))


def sections_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a field may hold, or hold a sequence of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated, tuple):
        return [m for part in typing.get_args(annotation) for m in sections_in(part)]
    return []


def kind_of(model: type[BaseModel]) -> Any:
    """Return the tag of one model of a union, None if it has none."""
    field = model.model_fields.get("kind")
    return field.default if field else None


def _explain(error: dict[str, Any], root: type[BaseModel]) -> str:
    """Return one line: the key, the mistake, and the probable intention."""
    location, section = _locate(error["loc"], root)
    kind, got = error["type"], error["input"]
    if kind == "extra_forbidden":
        key = location.rsplit(".", 1)[-1]
        return f"{location}: unknown key{_did_you_mean(key, _keys(section))}"
    if kind == "missing":
        return f"{location}: missing, and it has no default"
    if kind == "union_tag_invalid":
        # kinds that exist are few, and `hdbscan` is no typing error of `dbscan`
        return f"{location}.kind: got {str(error['ctx']['tag'])!r}, wanted {_kinds(error)}"
    if kind == "union_tag_not_found":
        where = f"{location}.kind" if location else "kind"
        return f"{where}: missing, and it has no default"
    if kind == "literal_error":
        return f"{location}: got {got!r}, wanted {error['ctx']['expected']}"
    message = error["msg"].removeprefix("Value error, ")
    where = f"{location}: " if location else ""
    return f"{where}{message[0].lower()}{message[1:]}" + (
        "" if isinstance(got, dict | list) else f" (got {got!r})"
    )


def _kinds(error: dict[str, Any]) -> str:
    tags = [tag.strip(" '") for tag in error["ctx"]["expected_tags"].split(",")]
    return f"one of: {', '.join(tags)}"


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=_CLOSE)
    return f"; did you mean {close[0]!r}?" if close else f"; valid here: {', '.join(known)}"


def _keys(model: type[BaseModel] | None) -> list[str]:
    return list(model.model_fields) if model else []


def _locate(loc: Sequence[str | int], root: type[BaseModel]) -> tuple[str, type[BaseModel] | None]:
    """Convert pydantic's location to a dotted key, and find the section of its last key.

    Pydantic includes the tag of a union (`reader.folder.uri`) in the location; it is not a key.
    """
    path: list[str] = []
    models: list[type[BaseModel]] = [root]
    section: type[BaseModel] | None = root
    for step in loc:
        tagged = [m for m in models if len(models) > 1 and kind_of(m) == step]
        if tagged:
            models, section = tagged, tagged[0]
        elif isinstance(step, int):
            path.append(str(step))
        else:
            path.append(step)
            section = models[0] if len(models) == 1 else None
            field = section.model_fields.get(step) if section else None
            models = sections_in(field.annotation) if field else []
    return ".".join(path), section
